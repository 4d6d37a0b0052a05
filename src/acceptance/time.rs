//! Expiry and touches. No clock is set: what is to be old is made old.

use std::time::Duration;

use super::{
    Case, Outcome, Stores, absent, add_one, create, equal, good, must, put, refused, same, same_content,
    stored, there,
};
use crate::error::ErrorClass;
use crate::names::SessionRef;
use crate::record::Session;
use crate::store::SessionStore;
use crate::time::UnixMillis;

pub(super) const CASES: &[Case] = &[
    ("expired", expired),
    ("expired-by-idleness", expired_by_idleness),
    ("expires-soon", expires_soon),
    ("expired-by-a-save", expired_by_a_save),
    ("touch", touching),
    ("touch-keeps-alive", touching_keeps_alive),
    ("touch-is-no-conflict", touching_is_no_conflict),
    ("expires-does-not-move", expires_does_not_move),
    ("accessed-never-moves-back", accessed_never_moves_back),
    ("accessed-far-ahead", accessed_far_ahead),
];

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;

pub(super) fn ago(millis: u64) -> UnixMillis {
    let now = UnixMillis::now().as_millis();
    UnixMillis::from_millis(now.saturating_sub(millis)).unwrap_or(UnixMillis::MAX)
}

pub(super) fn ahead(millis: u64) -> UnixMillis {
    UnixMillis::now().plus(Duration::from_millis(millis))
}

/// It is there for a deletion and for nothing else (TIME-3).
fn is_expired(store: &dyn SessionStore, id: &SessionRef, session: &Session) -> Outcome {
    absent("an expired session is absent (TIME-3)", store, id)?;
    let mut changed = session.clone();
    put(&mut changed, 99)?;
    refused("a save of an expired session is `gone`", store.save(&mut changed), ErrorClass::Gone)?;
    changed.set_expires(None);
    let clause = "no save makes an expired session live again";
    refused(clause, store.save(&mut changed), ErrorClass::Gone)?;
    refused("a touch of an expired session is `gone`", store.touch(id), ErrorClass::Gone)?;
    refused("a rotation of an expired session is `gone`", store.rotate(&mut changed), ErrorClass::Gone)?;
    let mut called = false;
    let updated = store.update(id, &mut |session| {
        called = true;
        session.set_expires(None);
        Ok(())
    });
    refused("an update of an expired session is `gone`", updated, ErrorClass::Gone)?;
    must("an update calls no function for an expired session", !called, || "called".to_owned())?;
    absent("nothing makes an expired session live again", store, id)?;
    // Whether it is still there to be deleted is the store's affair.
    good("an expired session can be deleted", store.delete(id))?;
    let again = good("a second deletion is no error (DEL-2)", store.delete(id))?;
    must("after a deletion an expired session is not there", !again, || "it says yes".to_owned())
}

fn expired(stores: &Stores<'_>) -> Outcome {
    let store = stores.open()?;
    let (other, live) = stored(&*store)?;
    for expires in [ago(0), ago(HOUR), UnixMillis::from_millis(0).unwrap_or(UnixMillis::MAX)] {
        let mut session = Session::new();
        session.set_expires(Some(expires));
        let id = create(&*store, &mut session)?;
        is_expired(&*store, &id, &session)?;
    }
    let clause = "what expires does so alone";
    same(clause, &there(clause, &*store, &other)?, &live)
}

fn expired_by_idleness(stores: &Stores<'_>) -> Outcome {
    let store = stores.open()?;
    for (idle, is_live) in [(1, false), (HOUR - 1, false), (HOUR + 10 * MINUTE, true)] {
        let mut session = Session::at(ago(9 * HOUR), ago(HOUR));
        good("it is an idle time", session.set_idle(Some(Duration::from_millis(idle))))?;
        let id = create(&*store, &mut session)?;
        if is_live {
            let clause = "a session lives until it was idle for its time";
            same(clause, &there(clause, &*store, &id)?, &session)?;
        } else {
            is_expired(&*store, &id, &session)?;
        }
    }
    Ok(())
}

/// One that is there, and then is not.
fn expires_soon(stores: &Stores<'_>) -> Outcome {
    let store = stores.open()?;
    let mut left = Duration::from_millis(100);
    loop {
        let mut session = Session::new();
        let expires = UnixMillis::now().plus(left);
        session.set_expires(Some(expires));
        let id = create(&*store, &mut session)?;
        let loaded = good("`load` loads", store.load(&id))?;
        if UnixMillis::now() >= expires {
            // The machine is slow: nothing is said by what was loaded.
            left *= 2;
            continue;
        }
        let clause = "a session that expires soon is there";
        must(clause, loaded.is_some(), || "it is absent".to_owned())?;
        while UnixMillis::now() < expires {
            std::thread::sleep(Duration::from_millis(5));
        }
        return is_expired(&*store, &id, &session);
    }
}

fn expired_by_a_save(stores: &Stores<'_>) -> Outcome {
    let store = stores.open()?;
    let (id, mut session) = stored(&*store)?;
    session.set_expires(Some(ago(1)));
    good("a session can be saved as expired", store.save(&mut session))?;
    is_expired(&*store, &id, &session)
}

fn touching(stores: &Stores<'_>) -> Outcome {
    let store = stores.open()?;
    let mut session = Session::at(ago(9 * HOUR), ago(HOUR));
    put(&mut session, 0)?;
    // A touch writes when `accessed` moves by a tenth of this, if not earlier (WRITE-17).
    good("it is an idle time", session.set_idle(Some(Duration::from_millis(2 * HOUR))))?;
    let id = create(&*store, &mut session)?;
    let start = UnixMillis::now();
    let wrote = good("`touch` touches", store.touch(&id))?;
    must("a touch writes where `accessed` moves far enough (WRITE-17)", wrote, || "it did not".to_owned())?;
    let touched = there("`load` finds it", &*stores.open()?, &id)?;
    must(
        "a touch moves `accessed` to now",
        (start..=UnixMillis::now()).contains(&touched.accessed()),
        || format!("it is {}", touched.accessed()),
    )?;
    let clause = "a touch changes nothing but `accessed` (WRITE-16)";
    equal(clause, &(touched.rev(), touched.created()), &(session.rev(), session.created()))?;
    same_content(clause, &touched, &session)?;
    must("a touch is due that would write", store.touch_is_due(&session), || "it is not".to_owned())?;
    for _ in 0..3 {
        let loaded = there(clause, &*store, &id)?;
        let before = loaded.accessed();
        let is_due = store.touch_is_due(&loaded);
        let wrote = good("`touch` touches", store.touch(&id))?;
        // Time passes, so that one that was not due may be by now; but not the other way.
        must("a touch that is due writes", wrote || !is_due, || "it did not".to_owned())?;
        let moved = there(clause, &*store, &id)?.accessed() != before;
        equal("a touch says whether it wrote", &wrote, &moved)?;
    }
    Ok(())
}

fn touching_keeps_alive(stores: &Stores<'_>) -> Outcome {
    let store = stores.open()?;
    let mut session = Session::at(ago(9 * HOUR), ago(HOUR));
    good("it is an idle time", session.set_idle(Some(Duration::from_millis(HOUR + 10 * MINUTE))))?;
    let (touched, left) = (create(&*store, &mut session.clone())?, create(&*store, &mut session)?);
    good("`touch` touches", store.touch(&touched))?;
    let age =
        |id| Outcome::Ok(UnixMillis::now().millis_since(there("`load` finds it", &*store, id)?.accessed()));
    must("a touched session is young", age(&touched)? < 10 * MINUTE, || "it is old".to_owned())?;
    must("what is not touched stays as old as it is", age(&left)? >= HOUR, || "it is young".to_owned())
}

fn touching_is_no_conflict(stores: &Stores<'_>) -> Outcome {
    let store = stores.open()?;
    let mut session = Session::at(ago(9 * HOUR), ago(HOUR));
    good("it is an idle time", session.set_idle(Some(Duration::from_millis(2 * HOUR))))?;
    let id = create(&*store, &mut session)?;
    good("`touch` touches", stores.open()?.touch(&id))?;
    let touched = there("`load` finds it", &*store, &id)?.accessed();
    put(&mut session, 1)?;
    let clause = "a save based on the revision before a touch is no conflict";
    good(clause, store.save(&mut session))?;
    let loaded = there(clause, &*store, &id)?;
    same(clause, &loaded, &session)?;
    must("`accessed` never moves back (TIME-2)", loaded.accessed() >= touched, || "it did".to_owned())
}

fn expires_does_not_move(stores: &Stores<'_>) -> Outcome {
    let store = stores.open()?;
    let mut session = Session::at(ago(HOUR), ago(HOUR));
    let expires = ahead(HOUR);
    session.set_expires(Some(expires));
    let id = create(&*store, &mut session)?;
    good("`touch` touches", store.touch(&id))?;
    good("`update` updates", store.update(&id, &mut add_one))?;
    let clause = "no access moves `expires`";
    equal(clause, &there(clause, &*store, &id)?.expires(), &Some(expires))
}

fn accessed_never_moves_back(stores: &Stores<'_>) -> Outcome {
    let store = stores.open()?;
    let accessed = ahead(HOUR);
    let mut session = Session::at(ago(HOUR), accessed);
    good("it is an idle time", session.set_idle(Some(Duration::from_millis(HOUR))))?;
    let id = create(&*store, &mut session)?;
    let clause = "`accessed` never moves back (TIME-2)";
    good("`touch` touches", store.touch(&id))?;
    equal(clause, &there(clause, &*store, &id)?.accessed(), &accessed)?;
    put(&mut session, 1)?;
    good("`save` saves", store.save(&mut session))?;
    equal(clause, &there(clause, &*store, &id)?.accessed(), &accessed)?;
    good("`update` updates", store.update(&id, &mut add_one))?;
    equal(clause, &there(clause, &*store, &id)?.accessed(), &accessed)?;
    let mut session = there(clause, &*store, &id)?;
    let id = SessionRef::from(good("`rotate` rotates", store.rotate(&mut session))?);
    equal(clause, &there(clause, &*store, &id)?.accessed(), &accessed)
}

fn accessed_far_ahead(stores: &Stores<'_>) -> Outcome {
    let store = stores.open()?;
    let mut session = Session::at(ago(HOUR), ahead(49 * HOUR));
    let id = create(&*store, &mut session)?;
    let start = UnixMillis::now();
    put(&mut session, 1)?;
    good("`save` saves", store.save(&mut session))?;
    let clause = "an `accessed` of more than a day ahead is set to now by a save (TIME-2)";
    let accessed = there(clause, &*store, &id)?.accessed();
    must(clause, (start..=UnixMillis::now()).contains(&accessed), || format!("it is {accessed}"))
}
