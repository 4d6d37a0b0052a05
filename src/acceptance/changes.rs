//! Saving, updating and rotating.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{
    Case, Outcome, Stores, absent, add_one, count, equal, good, must, n, put, refused, same, same_content,
    stored, there,
};
use crate::error::{Error, ErrorClass};
use crate::names::SessionRef;
use crate::record::Session;

pub(super) const CASES: &[Case] = &[
    ("save", saving),
    ("save-creates", saving_creates),
    ("save-without-change", saving_nothing),
    ("save-conflict", conflict),
    ("save-after-delete", saving_the_deleted),
    ("update", updating),
    ("update-keeps-the-name", update_keeps_the_name),
    ("update-error", update_error),
    ("update-panic", update_panic),
    ("update-reentrant", update_reentrant),
    ("rotate", rotating),
    ("rotate-creates", rotating_creates),
    ("rotate-stale", rotating_stale),
    ("rotate-after-delete", rotating_the_deleted),
];

fn saving(stores: &Stores<'_>) -> Outcome {
    let store = stores.open()?;
    let (id, created) = stored(&*store)?;
    let mut session = there("`load` finds it", &*store, &id)?;
    for number in 1..=5 {
        put(&mut session, number)?;
        let wanted = session.clone();
        good("`save` saves", store.save(&mut session))?;
        equal("each change makes one revision more (WRITE-2)", &session.rev(), &(number + 1))?;
        same_content("after a save the session is what was saved", &session, &wanted)?;
        equal("a save keeps `created`", &session.created(), &created.created())?;
        must("`accessed` never moves back (TIME-2)", session.accessed() >= created.accessed(), || {
            format!("from {} to {}", created.accessed(), session.accessed())
        })?;
        let clause = "`load` finds what `save` has saved";
        same(clause, &there(clause, &*store, &id)?, &session)?;
        same(clause, &there(clause, &*stores.open()?, &id)?, &session)?;
    }
    equal("a save makes no other session", &count("`iter_sessions` lists", &*store)?, &1)
}

fn saving_creates(stores: &Stores<'_>) -> Outcome {
    let store = stores.open()?;
    let mut session = Session::new();
    put(&mut session, 1)?;
    good("`save` creates a session that was never stored", store.save(&mut session))?;
    let clause = "a save that creates gives the session its ID";
    equal(clause, &session.rev(), &1)?;
    let id = session.id().cloned();
    must(clause, id.is_some(), || "it has none".to_owned())?;
    let Some(id) = id else { return Ok(()) };
    let clause = "`load` finds what `save` has created";
    same(clause, &there(clause, &*store, &SessionRef::from(id))?, &session)
}

fn saving_nothing(stores: &Stores<'_>) -> Outcome {
    let store = stores.open()?;
    let (id, mut session) = stored(&*store)?;
    let before = session.clone();
    let clause = "a save without a change makes no revision (WRITE-9)";
    put(&mut session, 0)?;
    good(clause, store.save(&mut session))?;
    same(clause, &session, &before)?;
    same(clause, &there(clause, &*store, &id)?, &before)?;
    let updated = good("an update may change nothing", store.update(&id, &mut |_| Ok(())))?;
    let clause = "an update without a change makes no revision (WRITE-9)";
    same(clause, &updated, &before)?;
    same(clause, &there(clause, &*store, &id)?, &before)
}

fn conflict(stores: &Stores<'_>) -> Outcome {
    let (store, other) = (stores.open()?, stores.open()?);
    let (id, mut first) = stored(&*store)?;
    let mut second = there("`load` finds it", &*other, &id)?;
    put(&mut first, 1)?;
    put(&mut second, 2)?;
    good("`save` saves", store.save(&mut first))?;
    let mine = second.clone();
    let clause = "a save based on an earlier revision is `conflict`, and changes nothing (WRITE-1)";
    refused(clause, other.save(&mut second), ErrorClass::Conflict)?;
    same("after a conflict the session is as it was", &second, &mine)?;
    same(clause, &there(clause, &*other, &id)?, &first)?;
    // Again, as nothing about it has become better.
    refused(clause, other.save(&mut second), ErrorClass::Conflict)?;
    let mut second = there(clause, &*other, &id)?;
    put(&mut second, 2)?;
    good("loading again and redoing the change resolves a conflict", other.save(&mut second))?;
    same(clause, &there(clause, &*store, &id)?, &second)
}

fn saving_the_deleted(stores: &Stores<'_>) -> Outcome {
    let (store, other) = (stores.open()?, stores.open()?);
    let (id, mut session) = stored(&*store)?;
    good("`delete` deletes", other.delete(&id))?;
    for number in 1..4 {
        put(&mut session, number)?;
        let clause = "a save of a deleted session is `gone`";
        refused(clause, store.save(&mut session), ErrorClass::Gone)?;
        absent("no save brings a deleted session back", &*store, &id)?;
        refused("a touch of a deleted session is `gone`", store.touch(&id), ErrorClass::Gone)?;
        let updated = store.update(&id, &mut add_one);
        refused("an update of a deleted session is `gone`", updated, ErrorClass::Gone)?;
        absent("nothing brings a deleted session back", &*store, &id)?;
    }
    equal("a refused save makes no session", &count("`iter_sessions` lists", &*store)?, &0)
}

fn updating(stores: &Stores<'_>) -> Outcome {
    let store = stores.open()?;
    let (id, created) = stored(&*store)?;
    for number in 1..=5 {
        let calls = Cell::new(0);
        let updated = store.update(&id, &mut |session| {
            calls.set(calls.get() + 1);
            add_one(session)
        });
        let updated = good("`update` updates", updated)?;
        equal("an update calls its function once", &calls.get(), &1)?;
        equal("an update applies its change to what is stored (WRITE-10)", &n(&updated)?, &number)?;
        equal("each change makes one revision more (WRITE-2)", &updated.rev(), &(number + 1))?;
        equal("an update keeps `created`", &updated.created(), &created.created())?;
        equal("an update knows the session by the name that it was given", &updated.reference(), &Some(&id))?;
        let clause = "an update returns what is stored";
        same(clause, &there(clause, &*store, &id)?, &updated)?;
    }
    // The session that an update was not asked about knows nothing of it.
    let mut stale = created;
    put(&mut stale, 99)?;
    refused("a save based on an earlier revision is `conflict`", store.save(&mut stale), ErrorClass::Conflict)
}

fn update_keeps_the_name(stores: &Stores<'_>) -> Outcome {
    let store = stores.open()?;
    let (id, before) = stored(&*store)?;
    let (other, mut copy) = stored(&*store)?;
    put(&mut copy, 7)?;
    let updated = store.update(&id, &mut |session| {
        *session = copy.clone();
        Ok(())
    });
    let clause =
        "an update's function can replace what the session holds, but not its name, `created` or revision";
    let updated = good(clause, updated)?;
    equal(clause, &(updated.reference(), updated.rev()), &(Some(&id), 2))?;
    equal(clause, &updated.created(), &before.created())?;
    same(clause, &there(clause, &*store, &id)?, &updated)?;
    equal(clause, &n(&updated)?, &7)?;
    let clause = "an update changes no other session";
    equal(clause, &n(&there(clause, &*store, &other)?)?, &0)
}

fn update_error(stores: &Stores<'_>) -> Outcome {
    let store = stores.open()?;
    let (id, before) = stored(&*store)?;
    let failed = store.update(&id, &mut |session| {
        session.clear();
        session.clear_user();
        Err(Error::InvalidId)
    });
    refused("an update passes its function's error on", failed, ErrorClass::InvalidId)?;
    let clause = "an update whose function fails changes nothing";
    same(clause, &there(clause, &*store, &id)?, &before)?;
    good("after a failed update the session can be changed", store.update(&id, &mut add_one)).map(drop)
}

fn update_panic(stores: &Stores<'_>) -> Outcome {
    let store = stores.open()?;
    let (id, before) = stored(&*store)?;
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        store.update(&id, &mut |session| {
            session.clear();
            // No message of the panic hook: nothing is wrong.
            std::panic::resume_unwind(Box::new("as a test"))
        })
    }));
    let clause = "an update passes its function's panic on";
    must(clause, panicked.is_err(), || format!("{panicked:?}"))?;
    let clause = "an update whose function panics changes nothing";
    same(clause, &there(clause, &*store, &id)?, &before)?;
    let clause = "after a panic the session can be changed, by this handle and by others";
    good(clause, store.update(&id, &mut add_one))?;
    good(clause, stores.open()?.update(&id, &mut add_one))?;
    equal(clause, &n(&there(clause, &*store, &id)?)?, &2)
}

fn update_reentrant(stores: &Stores<'_>) -> Outcome {
    let (store, other) = (stores.open()?, stores.open()?);
    let (id, before) = stored(&*store)?;
    let mut outcome = Ok(());
    let updated = store.update(&id, &mut |_| {
        outcome = [&*store, &*other].into_iter().try_for_each(|store| {
            let clause = "a call into a store from within an update is `reentrant`";
            let mut copy = before.clone();
            refused(clause, store.load(&id), ErrorClass::Reentrant)?;
            refused(clause, store.has(&id), ErrorClass::Reentrant)?;
            refused(clause, store.create(&mut copy), ErrorClass::Reentrant)?;
            refused(clause, store.save(&mut copy), ErrorClass::Reentrant)?;
            refused(clause, store.update(&id, &mut |_| Ok(())), ErrorClass::Reentrant)?;
            refused(clause, store.touch(&id), ErrorClass::Reentrant)?;
            refused(clause, store.rotate(&mut copy), ErrorClass::Reentrant)?;
            refused(clause, store.delete(&id), ErrorClass::Reentrant)?;
            refused(clause, store.delete_old_sessions(0), ErrorClass::Reentrant)?;
            refused(clause, store.delete_where(&|_| true), ErrorClass::Reentrant)?;
            refused(clause, store.iter_sessions().map(Iterator::count), ErrorClass::Reentrant)
        });
        Ok(())
    });
    good("`update` updates", updated)?;
    outcome?;
    let clause = "what was refused within an update has changed nothing";
    same(clause, &there(clause, &*store, &id)?, &before)?;
    equal(clause, &count(clause, &*store)?, &1)
}

fn rotating(stores: &Stores<'_>) -> Outcome {
    let store = stores.open()?;
    let mut session = Session::at(super::time::ago(3_600_000), super::time::ago(1_000));
    put(&mut session, 0)?;
    good("a short text is an address", session.set_addr("192.0.2.7"))?;
    good("a short text is a token", session.push_token("a form's"))?;
    good("a short text is a token", session.set_csrf("a page's"))?;
    good("an hour is an idle time", session.set_idle(Some(std::time::Duration::from_secs(3600))))?;
    let old = super::create(&*store, &mut session)?;
    let mut stale = session.clone();
    let before = session.clone();
    // The login.
    good("a text is a user", session.set_user("ada"))?;
    put(&mut session, 1)?;
    let new = SessionRef::from(good("`rotate` rotates", store.rotate(&mut session))?);
    must("a rotation gives a new ID", new != old, || "it is the old one".to_owned())?;
    absent("after a rotation nothing is found under the old ID", &*store, &old)?;
    let clause = "after a rotation the session is what is stored";
    let loaded = there(clause, &*stores.open()?, &new)?;
    same(clause, &loaded, &session)?;
    equal("a rotation makes a first revision", &loaded.rev(), &1)?;
    equal("a rotation keeps `created` (ROT-3)", &loaded.created(), &before.created())?;
    let clause = "a rotation drops the tokens (ROT-3)";
    equal(clause, &(loaded.tokens().len(), loaded.csrf()), &(0, None))?;
    let clause = "a rotation carries the changes that come with it";
    equal(clause, &good(clause, loaded.user::<String>())?.as_deref(), &Some("ada"))?;
    equal(clause, &n(&loaded)?, &1)?;
    let clause = "a rotation keeps all else";
    equal(clause, &(loaded.addr(), loaded.idle()), &(before.addr(), before.idle()))?;
    equal("a rotation moves a session, and copies none", &count("`iter_sessions` lists", &*store)?, &1)?;
    put(&mut stale, 2)?;
    let clause = "after a rotation the session under the old ID is `gone`";
    refused(clause, store.save(&mut stale), ErrorClass::Gone)?;
    refused(clause, store.rotate(&mut stale), ErrorClass::Gone)?;
    refused(clause, store.update(&old, &mut add_one), ErrorClass::Gone)?;
    absent("nothing is found under the old ID, whatever is tried", &*store, &old)?;
    put(&mut session, 3)?;
    good("a rotated session can be saved", store.save(&mut session))?;
    equal(clause, &n(&there(clause, &*store, &new)?)?, &3)
}

fn rotating_creates(stores: &Stores<'_>) -> Outcome {
    let store = stores.open()?;
    let mut session = Session::new();
    put(&mut session, 1)?;
    let clause = "a rotation of a session that was never stored creates it";
    let id = SessionRef::from(good(clause, store.rotate(&mut session))?);
    same(clause, &there(clause, &*store, &id)?, &session)?;
    equal(clause, &count(clause, &*store)?, &1)
}

fn rotating_stale(stores: &Stores<'_>) -> Outcome {
    let store = stores.open()?;
    let (id, mut session) = stored(&*store)?;
    let mut stale = session.clone();
    put(&mut session, 1)?;
    good("`save` saves", store.save(&mut session))?;
    put(&mut stale, 2)?;
    let mine = stale.clone();
    let clause = "a rotation based on an earlier revision is `conflict`, and changes nothing";
    refused(clause, store.rotate(&mut stale), ErrorClass::Conflict)?;
    same("after a conflict the session is as it was", &stale, &mine)?;
    same(clause, &there(clause, &*store, &id)?, &session)?;
    equal(clause, &count(clause, &*store)?, &1)
}

fn rotating_the_deleted(stores: &Stores<'_>) -> Outcome {
    let store = stores.open()?;
    let (id, mut session) = stored(&*store)?;
    good("`delete` deletes", store.delete(&id))?;
    put(&mut session, 1)?;
    refused("a rotation of a deleted session is `gone`", store.rotate(&mut session), ErrorClass::Gone)?;
    equal("no rotation brings a deleted session back", &count("`iter_sessions` lists", &*store)?, &0)
}
