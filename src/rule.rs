//! The rules of SPEC.md: their ids and where they stand, and the findings that break them.
//!
//! The text of a rule is in SPEC.md alone. A test holds this table and that document to be the same set, and
//! each rule to be exercised by a fixture or a test that names it.

use std::fmt;

macro_rules! rules {
    ($($variant:ident = $id:literal, $section:literal;)*) => {
        /// A numbered rule of SPEC.md.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Rule {
            $(#[doc = concat!("Rule ", $id, ", section ", $section, " of SPEC.md.")] $variant,)*
        }

        impl Rule {
            /// Every rule, in the order of SPEC.md.
            pub const ALL: &'static [Rule] = &[$(Rule::$variant,)*];

            /// The id, as SPEC.md writes it: `REC-7`.
            #[must_use]
            pub const fn id(self) -> &'static str {
                match self { $(Rule::$variant => $id,)* }
            }

            /// The number of the section of SPEC.md that states the rule.
            #[must_use]
            pub const fn section(self) -> &'static str {
                match self { $(Rule::$variant => $section,)* }
            }
        }
    };
}

rules! {
    Name1 = "NAME-1", "4.1";
    Name2 = "NAME-2", "4.1";
    Name3 = "NAME-3", "4.1";
    Name4 = "NAME-4", "4.1";
    Name5 = "NAME-5", "4.2";
    Name6 = "NAME-6", "4.2";
    Name7 = "NAME-7", "4.2";
    Name8 = "NAME-8", "4.3";
    Name9 = "NAME-9", "4.4";
    Name10 = "NAME-10", "4.4";
    Name11 = "NAME-11", "4.4";
    Dir1 = "DIR-1", "5.1";
    Dir2 = "DIR-2", "5.1";
    Dir3 = "DIR-3", "5.1";
    Dir4 = "DIR-4", "5.1";
    Dir5 = "DIR-5", "5.1";
    Dir6 = "DIR-6", "5.1";
    Dir7 = "DIR-7", "5.1";
    Dir8 = "DIR-8", "5.1";
    Dir9 = "DIR-9", "5.1";
    Mark1 = "MARK-1", "5.2";
    Mark2 = "MARK-2", "5.2";
    Mark3 = "MARK-3", "5.2";
    Mark4 = "MARK-4", "5.2";
    Mark5 = "MARK-5", "5.2";
    Mark6 = "MARK-6", "5.2";
    Mark7 = "MARK-7", "5.2";
    Slot1 = "SLOT-1", "6.1";
    Slot2 = "SLOT-2", "6.1";
    Slot3 = "SLOT-3", "6.1";
    Slot4 = "SLOT-4", "6.1";
    Slot5 = "SLOT-5", "6.1";
    Slot6 = "SLOT-6", "6.2";
    Slot7 = "SLOT-7", "6.2";
    Slot8 = "SLOT-8", "6.2";
    Slot9 = "SLOT-9", "6.2";
    Slot10 = "SLOT-10", "6.2";
    Slot11 = "SLOT-11", "6.2";
    Rec1 = "REC-1", "7.1";
    Rec2 = "REC-2", "7.1";
    Rec3 = "REC-3", "7.1";
    Rec4 = "REC-4", "7.1";
    Rec5 = "REC-5", "7.1";
    Rec6 = "REC-6", "7.1";
    Rec7 = "REC-7", "7.1";
    Rec8 = "REC-8", "7.1";
    Rec9 = "REC-9", "7.1";
    Rec10 = "REC-10", "7.1";
    Rec11 = "REC-11", "7.1";
    Rec12 = "REC-12", "7.1";
    Rec13 = "REC-13", "7.1";
    Rec14 = "REC-14", "7.1";
    Val1 = "VAL-1", "7.2";
    Val2 = "VAL-2", "7.2";
    Val3 = "VAL-3", "7.2";
    Val4 = "VAL-4", "7.2";
    Val5 = "VAL-5", "7.2";
    Val6 = "VAL-6", "7.2";
    Val7 = "VAL-7", "7.2";
    Val8 = "VAL-8", "7.2";
    Val9 = "VAL-9", "7.2";
    Val10 = "VAL-10", "7.2";
    Val11 = "VAL-11", "7.2";
    Val12 = "VAL-12", "7.2";
    Val13 = "VAL-13", "7.2";
    Val14 = "VAL-14", "7.2";
    Body1 = "BODY-1", "7.3";
    Body2 = "BODY-2", "7.3";
    Body3 = "BODY-3", "7.3";
    Body4 = "BODY-4", "7.3";
    Body5 = "BODY-5", "7.3";
    Body6 = "BODY-6", "7.3";
    Body7 = "BODY-7", "7.3";
    Body8 = "BODY-8", "7.3";
    Body9 = "BODY-9", "7.3";
    Body10 = "BODY-10", "7.3";
    Body11 = "BODY-11", "7.3";
    Body12 = "BODY-12", "7.3";
    Body13 = "BODY-13", "7.3";
    Body14 = "BODY-14", "7.3";
    Body15 = "BODY-15", "7.3";
    Body16 = "BODY-16", "7.3";
    Body17 = "BODY-17", "7.3";
    Time1 = "TIME-1", "8";
    Time2 = "TIME-2", "8";
    Time3 = "TIME-3", "8";
    Time4 = "TIME-4", "8";
    Lock1 = "LOCK-1", "9.1";
    Lock2 = "LOCK-2", "9.1";
    Lock3 = "LOCK-3", "9.1";
    Lock4 = "LOCK-4", "9.1";
    Lock5 = "LOCK-5", "9.1";
    Lock6 = "LOCK-6", "9.1";
    Lock7 = "LOCK-7", "9.1";
    Lock8 = "LOCK-8", "9.1";
    Lock9 = "LOCK-9", "9.1";
    Lock10 = "LOCK-10", "9.1";
    Lock11 = "LOCK-11", "9.1";
    Lock12 = "LOCK-12", "9.1";
    Lock13 = "LOCK-13", "9.2";
    Lock14 = "LOCK-14", "9.3";
    Read1 = "READ-1", "10.2";
    Read2 = "READ-2", "10.2";
    Read3 = "READ-3", "10.2";
    Read4 = "READ-4", "10.2";
    Read5 = "READ-5", "10.2";
    Read6 = "READ-6", "10.2";
    Read7 = "READ-7", "10.2";
    Write1 = "WRITE-1", "10.3";
    Write2 = "WRITE-2", "10.3";
    Write3 = "WRITE-3", "10.3";
    Write4 = "WRITE-4", "10.3";
    Write5 = "WRITE-5", "10.3";
    Write6 = "WRITE-6", "10.3";
    Write7 = "WRITE-7", "10.3";
    Write8 = "WRITE-8", "10.3";
    Write9 = "WRITE-9", "10.3";
    Write10 = "WRITE-10", "10.3";
    Write11 = "WRITE-11", "10.4";
    Write12 = "WRITE-12", "10.4";
    Write13 = "WRITE-13", "10.4";
    Write14 = "WRITE-14", "10.4";
    Write15 = "WRITE-15", "10.4";
    Write16 = "WRITE-16", "10.6";
    Write17 = "WRITE-17", "10.6";
    Del1 = "DEL-1", "10.7";
    Del2 = "DEL-2", "10.7";
    Del3 = "DEL-3", "10.7";
    Rot1 = "ROT-1", "10.8";
    Rot2 = "ROT-2", "10.8";
    Rot3 = "ROT-3", "10.8";
    Coll1 = "COLL-1", "10.9";
    Coll2 = "COLL-2", "10.9";
    Coll3 = "COLL-3", "10.9";
    Coll4 = "COLL-4", "10.9";
    Coll5 = "COLL-5", "10.9";
    Coll6 = "COLL-6", "10.9";
    Rep1 = "REP-1", "10.10";
    Rep2 = "REP-2", "10.10";
    Rep3 = "REP-3", "10.10";
    Rep4 = "REP-4", "10.10";
    Rep5 = "REP-5", "10.10";
    Rep6 = "REP-6", "10.10";
    Chk1 = "CHK-1", "11.1";
    Chk2 = "CHK-2", "11.1";
    Chk3 = "CHK-3", "11.1";
    Chk4 = "CHK-4", "11.1";
    Chk5 = "CHK-5", "11.1";
    Chk6 = "CHK-6", "11.1";
    Chk7 = "CHK-7", "11.1";
    Chk8 = "CHK-8", "11.1";
    Chk9 = "CHK-9", "11.1";
    Chk10 = "CHK-10", "11.1";
    Chk11 = "CHK-11", "11.1";
    Chk12 = "CHK-12", "11.1";
    Chk13 = "CHK-13", "11.1";
    Chk14 = "CHK-14", "11.1";
    Err1 = "ERR-1", "14.1";
    Err2 = "ERR-2", "14.1";
    Mig1 = "MIG-1", "20";
    Mig2 = "MIG-2", "20";
    Mig3 = "MIG-3", "20";
    Mig4 = "MIG-4", "20";
    Mig5 = "MIG-5", "20";
    Mig6 = "MIG-6", "20";
    Mig7 = "MIG-7", "20";
    Mig8 = "MIG-8", "20";
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

/// A rule that bytes break, and where: what makes a record corrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The rule.
    pub rule: Rule,
    /// The first byte of what breaks it (SPEC.md, section 11.2), from the start of the record or file.
    pub offset: usize,
}

impl Fault {
    pub(crate) const fn new(rule: Rule, offset: usize) -> Self {
        Fault { rule, offset }
    }

    /// The same fault, seen from `base` bytes further out: of a file, of which the record is a part.
    pub(crate) const fn within(self, base: usize) -> Self {
        Fault { rule: self.rule, offset: self.offset + base }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "breaks rule {} at byte {}", self.rule, self.offset)
    }
}

/// How grave a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Every session can be read; something deserves a look.
    Warning,
    /// A session cannot be read, or the store is not sound.
    Error,
}

impl Severity {
    /// `warning` or `error`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Severity::Warning => "warning",
            Severity::Error => "error",
        }
    }
}
