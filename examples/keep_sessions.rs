//! Keeps sessions in a store, as a web application would: `cargo run --example keep_sessions -- DIR`.

use std::env;

use sessiondir::{Options, Session, SessionId, SessionRef, SessionStore};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = env::args_os().nth(1).ok_or("usage: keep_sessions DIR")?;
    let store = Options::new().create(true).open(dir)?;

    // A user logs in: a new session, whose ID becomes the value of a cookie.
    let mut session = Session::new();
    session.set_user("ada")?;
    session.set_idle(Some(std::time::Duration::from_secs(30 * 60)))?;
    let cookie = store.create(&mut session)?.expose().to_owned();

    // The next request brings the cookie back. What is no session ID never gets as far as the store.
    let id = SessionRef::from(SessionId::new(&cookie)?);
    let Some(mut session) = store.load(&id)? else { return Err("not logged in".into()) };
    println!("{} is logged in", session.user::<String>()?.unwrap_or_default());
    session.insert("cart", &[("A-1", 2), ("B-7", 1)])?;
    store.save(&mut session)?;

    // Two requests at once: neither update is lost.
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                store.update(&id, &mut |session| {
                    let views: u64 = session.get("views")?.unwrap_or(0);
                    Ok(session.insert("views", &(views + 1))?)
                })
            });
        }
    });
    let views = store.load(&id)?.and_then(|session| session.get::<u64>("views").ok().flatten());
    println!("{} views", views.unwrap_or(0));

    // Another user, who logs out again. A request that is still on its way with his session cannot bring it back.
    let mut session = Session::new();
    session.set_user("bob")?;
    store.create(&mut session)?;
    store.delete(session.reference().ok_or("stored")?)?;
    session.insert("late", &true)?;
    match store.save(&mut session) {
        Err(error) => println!("{error}"),
        Ok(()) => return Err("a logout was undone".into()),
    }
    Ok(())
}
