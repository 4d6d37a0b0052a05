//! Test only (feature `seam`): a hook before every call that this crate makes to the operating system.
//!
//! A hook sees each call with its path before it is made. It can count, refuse the call with an error number,
//! or do something else first (another writer's save, say) and so force an interleaving. It belongs to the
//! thread that installs it.

use std::cell::RefCell;
use std::rc::Rc;

pub use crate::dir::Op;

/// A call that is about to be made.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// Which.
    pub op: Op,
    /// On what, relative to the store's directory; empty for a call on a descriptor.
    pub path: &'a str,
}

type Hook = Rc<RefCell<dyn FnMut(Call<'_>) -> Option<i32>>>;

thread_local! {
    static HOOK: RefCell<Option<Hook>> = const { RefCell::new(None) };
}

/// Removes the hook when it is dropped.
#[must_use = "the hook is removed when this is dropped"]
#[derive(Debug)]
pub struct Installed(());

/// Installs `hook` for this thread, in the place of the one that is there. What it returns is the error number
/// with which the call is to fail; `None` lets the call be made. Calls that the hook itself makes are not
/// hooked.
pub fn install(hook: impl FnMut(Call<'_>) -> Option<i32> + 'static) -> Installed {
    HOOK.with(|place| *place.borrow_mut() = Some(Rc::new(RefCell::new(hook))));
    Installed(())
}

impl Drop for Installed {
    fn drop(&mut self) {
        HOOK.with(|place| *place.borrow_mut() = None);
    }
}

pub(crate) fn call(op: Op, path: &str) -> Option<i32> {
    let hook = HOOK.with(|place| place.borrow().clone())?;
    // A call from within the hook finds it borrowed, and goes through.
    let mut hook = hook.try_borrow_mut().ok()?;
    hook(Call { op, path })
}
