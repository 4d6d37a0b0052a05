//! JSON, written as it comes: an object's members go out one by one, so that no session is ever held twice.
//!
//! `serde_json` builds values in memory, and leaves DEL and the C1 controls as they are, which terminals obey.

use std::io::{self, Write};

use super::text;

/// An object that is being written. A member without a value is left out.
pub(super) struct Object<'a> {
    pub(super) out: &'a mut dyn Write,
    empty: bool,
}

impl<'a> Object<'a> {
    pub(super) fn write(
        out: &'a mut dyn Write,
        fill: impl FnOnce(&mut Object<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut object = Object { out, empty: true };
        object.out.write_all(b"{")?;
        fill(&mut object)?;
        object.out.write_all(b"}")
    }

    /// The member's name; what is written next is its value.
    pub(super) fn name(&mut self, name: &str) -> io::Result<&mut dyn Write> {
        if !self.empty {
            self.out.write_all(b",")?;
        }
        self.empty = false;
        text::escape(self.out, name, true)?;
        self.out.write_all(b":")?;
        Ok(self.out)
    }

    pub(super) fn text(&mut self, name: &str, value: &str) -> io::Result<()> {
        text::escape(self.name(name)?, value, true)
    }

    pub(super) fn number(&mut self, name: &str, value: u64) -> io::Result<()> {
        write!(self.name(name)?, "{value}")
    }

    pub(super) fn bool(&mut self, name: &str, value: bool) -> io::Result<()> {
        write!(self.name(name)?, "{value}")
    }

    pub(super) fn texts<'t>(&mut self, name: &str, values: impl Iterator<Item = &'t str>) -> io::Result<()> {
        let out = self.name(name)?;
        out.write_all(b"[")?;
        for (index, value) in values.enumerate() {
            if index > 0 {
                out.write_all(b",")?;
            }
            text::escape(out, value, true)?;
        }
        out.write_all(b"]")
    }

    pub(super) fn object(
        &mut self,
        name: &str,
        fill: impl FnOnce(&mut Object<'_>) -> io::Result<()>,
    ) -> io::Result<()> {
        Object::write(self.name(name)?, fill)
    }
}
