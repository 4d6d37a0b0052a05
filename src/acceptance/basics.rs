//! Sessions that come, are looked at, and go.

use super::{
    Case, Outcome, Stores, absent, count, create, equal, good, must, n, put, refused, same, stored, there,
};
use crate::error::ErrorClass;
use crate::names::{SessionId, SessionRef};
use crate::record::Session;
use crate::store::SessionStore;

pub(super) const CASES: &[Case] = &[
    ("setup", setup),
    ("absent", unknown),
    ("create", creating),
    ("create-again", creating_again),
    ("create-empty", empty),
    ("ids-are-exact", ids_are_exact),
    ("has", has),
    ("iter", iterating),
    ("delete", deleting),
    ("delete-is-idempotent", deleting_twice),
    ("many-sessions", many),
    ("errors-show-no-id", errors_show_no_id),
    ("counters", counters),
];

fn setup(stores: &Stores<'_>) -> Outcome {
    let store = stores.open()?;
    let (id, session) = stored(&*store)?;
    good("`setup` can be called at any time", store.setup())?;
    let other = stores.open()?;
    let clause = "`setup` leaves the sessions";
    same(clause, &there(clause, &*store, &id)?, &session)?;
    same("two handles have one store", &there(clause, &*other, &id)?, &session)?;
    let says = |store: &dyn SessionStore| (store.is_thread_safe(), store.is_multiprocess_safe());
    equal("all handles say the same of the store", &says(&*store), &says(&*other))
}

fn unknown(stores: &Stores<'_>) -> Outcome {
    let store = stores.open()?;
    equal("a store is empty at first", &count("`iter_sessions` lists", &*store)?, &0)?;
    let generated = good("an ID can be generated", SessionId::generate())?;
    // One of 11 characters, as Session3 made them, is as good a name as any.
    let legacy = good("an ID of 11 characters is one", SessionId::new("0SJaaIqvMIA"))?;
    for id in [SessionRef::from(generated), SessionRef::from(legacy)] {
        absent("what was never stored is absent, which is no error", &*store, &id)?;
        refused("a touch of an absent session is `gone`", store.touch(&id), ErrorClass::Gone)?;
        let mut called = false;
        let updated = store.update(&id, &mut |_| {
            called = true;
            Ok(())
        });
        refused("an update of an absent session is `gone`", updated, ErrorClass::Gone)?;
        must("an update calls no function for an absent session", !called, || "called".to_owned())?;
        let deleted = good("a deletion of an absent session is no error", store.delete(&id))?;
        must("a deletion says whether the session was there", !deleted, || "it says yes".to_owned())?;
    }
    equal("asking for a session makes none", &count("`iter_sessions` lists", &*store)?, &0)
}

fn creating(stores: &Stores<'_>) -> Outcome {
    let store = stores.open()?;
    let mut session = Session::new();
    put(&mut session, 1)?;
    let before = session.clone();
    let id = good("`create` stores a session", store.create(&mut session))?;
    must("a generated ID has 22 characters or more (NAME-4)", !id.is_legacy(), || {
        "it is shorter".to_owned()
    })?;
    equal("`create` gives the session its ID", &session.id(), &Some(&id))?;
    equal("the first revision is 1", &session.rev(), &1)?;
    equal("`create` keeps `created`", &session.created(), &before.created())?;
    equal("`create` keeps `accessed`", &session.accessed(), &before.accessed())?;
    let clause = "`load` finds what `create` has stored";
    let loaded = there(clause, &*stores.open()?, &SessionRef::from(&id))?;
    same(clause, &loaded, &session)?;
    equal("a session that was loaded by its ID knows it", &loaded.id(), &Some(&id))?;
    equal("a session is stored once", &count("`iter_sessions` lists", &*store)?, &1)
}

fn creating_again(stores: &Stores<'_>) -> Outcome {
    let store = stores.open()?;
    let (first, mut session) = stored(&*store)?;
    put(&mut session, 1)?;
    let second = create(&*store, &mut session)?;
    must("each creation has an ID of its own", first != second, || "two have the same".to_owned())?;
    equal("a creation makes a first revision, whatever the session was", &session.rev(), &1)?;
    let clause = "a creation changes no other session";
    equal(clause, &n(&there(clause, &*store, &first)?)?, &0)?;
    let clause = "`load` finds what `create` has stored";
    same(clause, &there(clause, &*store, &second)?, &session)
}

fn empty(stores: &Stores<'_>) -> Outcome {
    let store = stores.open()?;
    let mut session = Session::new();
    let id = create(&*store, &mut session)?;
    let clause = "a session with nothing in it can be stored";
    let loaded = there(clause, &*store, &id)?;
    same(clause, &loaded, &session)?;
    must(clause, !loaded.has_info(), || "something is in it".to_owned())
}

fn ids_are_exact(stores: &Stores<'_>) -> Outcome {
    let store = stores.open()?;
    let (id, _) = stored(&*store)?;
    let text = id.id().map(|id| id.expose().to_owned()).unwrap_or_default();
    let folded: String = text
        .chars()
        .map(|c| if c.is_ascii_lowercase() { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() })
        .collect();
    let longer = format!("{text}A");
    for other in [folded.as_str(), &longer, &text[..text.len() - 1]] {
        let other = SessionRef::from(good("it is an ID", SessionId::new(other))?);
        must("IDs are compared byte by byte (NAME-3)", !good("`has` looks", store.has(&other))?, || {
            "another text finds the session".to_owned()
        })?;
        must(
            "IDs are compared byte by byte (NAME-3)",
            !good("`delete` looks", store.delete(&other))?,
            || "another text deletes the session".to_owned(),
        )?;
    }
    must("the session is still there", good("`has` looks", store.has(&id))?, || "it is not".to_owned())
}

fn has(stores: &Stores<'_>) -> Outcome {
    let store = stores.open()?;
    let (id, _) = stored(&*store)?;
    must("`has` finds a session", good("`has` looks", store.has(&id))?, || "it says no".to_owned())?;
    good("`delete` deletes", store.delete(&id))?;
    must("`has` finds no deleted session", !good("`has` looks", store.has(&id))?, || "it says yes".to_owned())
}

fn iterating(stores: &Stores<'_>) -> Outcome {
    let store = stores.open()?;
    let mut expected = std::collections::BTreeMap::new();
    for number in 0..20 {
        let mut session = Session::new();
        put(&mut session, number)?;
        let id = create(&*store, &mut session)?;
        expected.insert(id.key(), session);
    }
    let clause = "`iter_sessions` gives each session once, as it is stored";
    for session in good("`iter_sessions` lists", store.iter_sessions())? {
        let session = good(clause, session)?;
        let key = session.reference().map(SessionRef::key);
        match key.and_then(|key| expected.remove(&key)) {
            Some(expected) => same(clause, &session, &expected)?,
            None => must(clause, false, || format!("one that is not there, or twice: {session:?}"))?,
        }
    }
    equal(clause, &expected.len(), &0)
}

fn deleting(stores: &Stores<'_>) -> Outcome {
    let store = stores.open()?;
    let (id, _) = stored(&*store)?;
    let (other, session) = stored(&*store)?;
    let deleted = good("`delete` deletes", store.delete(&id))?;
    must("a deletion says whether the session was there", deleted, || "it says no".to_owned())?;
    absent("what was deleted is absent", &*store, &id)?;
    absent("what was deleted is absent to every handle", &*stores.open()?, &id)?;
    let clause = "a deletion deletes one session";
    same(clause, &there(clause, &*store, &other)?, &session)
}

fn deleting_twice(stores: &Stores<'_>) -> Outcome {
    let store = stores.open()?;
    let (id, _) = stored(&*store)?;
    good("`delete` deletes", store.delete(&id))?;
    for _ in 0..2 {
        let again = good("a second deletion is no error (DEL-2)", store.delete(&id))?;
        must("a second deletion says that the session was not there", !again, || "it says yes".to_owned())?;
    }
    Ok(())
}

fn many(stores: &Stores<'_>) -> Outcome {
    let store = stores.open()?;
    let mut all = Vec::new();
    for number in 0..60 {
        let mut session = Session::new();
        put(&mut session, number)?;
        all.push((create(&*store, &mut session)?, session));
    }
    for (id, _) in all.iter().step_by(2) {
        must("`delete` deletes", good("`delete` deletes", store.delete(id))?, || "it says no".to_owned())?;
        let clause = "what was deleted is absent";
        must(clause, !good(clause, store.has(id))?, || "`has` finds it".to_owned())?;
    }
    for (id, session) in all.iter().skip(1).step_by(2) {
        let clause = "each session is its own";
        same(clause, &there(clause, &*store, id)?, session)?;
    }
    equal("what is not deleted is there", &count("`iter_sessions` lists", &*store)?, &30)
}

fn errors_show_no_id(stores: &Stores<'_>) -> Outcome {
    let store = stores.open()?;
    let (id, mut session) = stored(&*store)?;
    let mut stale = session.clone();
    put(&mut session, 1)?;
    good("`save` saves", store.save(&mut session))?;
    put(&mut stale, 2)?;
    let mut errors = vec![store.save(&mut stale).err(), store.rotate(&mut stale).err()];
    good("`delete` deletes", store.delete(&id))?;
    errors.push(store.save(&mut stale).err());
    errors.push(store.touch(&id).err());
    errors.push(store.update(&id, &mut |_| Ok(())).err());
    let secret = id.id().map(|id| id.expose().to_owned()).unwrap_or_default();
    for error in &errors {
        let clause = "an error shows no ID (NAME-8)";
        let error = error.as_ref().map(|error| format!("{error} {error:?}")).unwrap_or_default();
        must(clause, !error.is_empty(), || "there is no error".to_owned())?;
        must(clause, !error.contains(&secret), || "it does".to_owned())?;
    }
    Ok(())
}

fn counters(stores: &Stores<'_>) -> Outcome {
    let store = stores.open()?;
    let (id, mut session) = stored(&*store)?;
    let mut stale = session.clone();
    put(&mut session, 1)?;
    good("`save` saves", store.save(&mut session))?;
    let before = store.counters();
    put(&mut stale, 2)?;
    refused(
        "a save based on an earlier revision is `conflict`",
        store.save(&mut stale),
        ErrorClass::Conflict,
    )?;
    good("`delete` deletes", store.delete(&id))?;
    refused("a save of a deleted session is `gone`", store.save(&mut stale), ErrorClass::Gone)?;
    let after = store.counters();
    let clause = "a store that counts at all counts each `conflict` and each `gone` once";
    let moved = (after.conflicts - before.conflicts, after.gone - before.gone);
    must(clause, [(0, 0), (1, 1)].contains(&moved), || format!("counted {moved:?}"))
}
