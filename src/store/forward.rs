//! What points to a store is a store: `&S`, `Box<S>`, `Arc<S>`.

use std::sync::Arc;

use super::{Counters, Deleted, SessionStore};
use crate::error::Result;
use crate::names::{SessionId, SessionRef};
use crate::record::Session;

/// Every method, those with a default too: else a store's own would be lost behind a pointer.
macro_rules! forward {
    ($($pointer:ty),+) => {$(
        impl<S: SessionStore + ?Sized> SessionStore for $pointer {
            fn load(&self, session: &SessionRef) -> Result<Option<Session>> {
                (**self).load(session)
            }

            fn create(&self, session: &mut Session) -> Result<SessionId> {
                (**self).create(session)
            }

            fn save(&self, session: &mut Session) -> Result<()> {
                (**self).save(session)
            }

            fn update(
                &self,
                session: &SessionRef,
                change: &mut dyn FnMut(&mut Session) -> Result<()>,
            ) -> Result<Session> {
                (**self).update(session, change)
            }

            fn touch(&self, session: &SessionRef) -> Result<bool> {
                (**self).touch(session)
            }

            fn delete(&self, session: &SessionRef) -> Result<bool> {
                (**self).delete(session)
            }

            fn rotate(&self, session: &mut Session) -> Result<SessionId> {
                (**self).rotate(session)
            }

            fn has(&self, session: &SessionRef) -> Result<bool> {
                (**self).has(session)
            }

            fn iter_sessions(&self) -> Result<Box<dyn Iterator<Item = Result<Session>> + '_>> {
                (**self).iter_sessions()
            }

            fn setup(&self) -> Result<()> {
                (**self).setup()
            }

            fn delete_old_sessions(&self, minutes: u64) -> Result<Deleted> {
                (**self).delete_old_sessions(minutes)
            }

            fn delete_where(&self, which: &(dyn Fn(&Session) -> bool + Sync)) -> Result<Deleted> {
                (**self).delete_where(which)
            }

            fn delete_if(
                &self,
                session: &SessionRef,
                which: &(dyn Fn(&Session) -> bool + Sync),
            ) -> Result<bool> {
                (**self).delete_if(session, which)
            }

            fn touch_is_due(&self, session: &Session) -> bool {
                (**self).touch_is_due(session)
            }

            fn is_multiprocess_safe(&self) -> bool {
                (**self).is_multiprocess_safe()
            }

            fn is_thread_safe(&self) -> bool {
                (**self).is_thread_safe()
            }

            fn counters(&self) -> Counters {
                (**self).counters()
            }
        }
    )+};
}

forward!(&S, Box<S>, Arc<S>);
