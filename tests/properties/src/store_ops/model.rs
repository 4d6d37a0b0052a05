//! What a session is, and what becomes of it: sections 8 and 10 of SPEC.md, written again over plain values.

use sessiondir::Session;

const DAY: u64 = 86_400_000;
/// By how much `accessed` moves at least when a touch writes it, as the stores here are opened.
const RESOLUTION: u64 = 60_000;

/// A stored session.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Stored {
    pub(super) rev: u64,
    pub(super) created: u64,
    pub(super) accessed: u64,
    pub(super) content: Content,
}

/// What of a session a save compares.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Content {
    pub(super) expires: Option<u64>,
    pub(super) idle: Option<u64>,
    pub(super) user: Option<String>,
    pub(super) tokens: Vec<String>,
    pub(super) csrf: Option<String>,
    /// The attribute `n`.
    pub(super) number: Option<u64>,
    /// The length of the attribute `pad`.
    pub(super) pad: Option<usize>,
}

impl Stored {
    /// What the session says.
    pub(super) fn of(session: &Session) -> Self {
        let number = session.get("n").expect("a number");
        let pad = session.get::<String>("pad").expect("a text").map(|pad| pad.len());
        let attributes = usize::from(number.is_some()) + usize::from(pad.is_some());
        assert_eq!(session.attributes().len(), attributes, "an attribute that nobody has set");
        Stored {
            rev: session.rev(),
            created: session.created().as_millis(),
            accessed: session.accessed().as_millis(),
            content: Content {
                expires: session.expires().map(sessiondir::UnixMillis::as_millis),
                idle: session.idle().map(|idle| u64::try_from(idle.as_millis()).expect("in range")),
                user: session.user().expect("a text"),
                tokens: session.tokens().map(str::to_owned).collect(),
                csrf: session.csrf().map(str::to_owned),
                number,
                pad,
            },
        }
    }

    /// TIME-1.
    pub(super) fn is_expired(&self, now: u64) -> bool {
        let Content { expires, idle, .. } = self.content;
        expires.is_some_and(|at| at <= now) || idle.is_some_and(|idle| self.is_idle_for(idle, now))
    }

    pub(super) fn is_idle_for(&self, span: u64, now: u64) -> bool {
        now >= self.accessed && now - self.accessed >= span
    }

    /// CHK-11.
    pub(super) fn is_of_the_future(&self, now: u64) -> bool {
        self.accessed > now + DAY
    }

    /// TIME-2.
    fn accessed_at(&self, now: u64) -> u64 {
        if self.is_of_the_future(now) || self.accessed < now { now } else { self.accessed }
    }

    /// As a first revision.
    pub(super) fn first(&self) -> Self {
        Stored { rev: 1, ..self.clone() }
    }

    /// With other content, if it is other. WRITE-2, WRITE-9.
    pub(super) fn saved(&self, content: &Content, now: u64) -> Self {
        if *content == self.content {
            return self.clone();
        }
        Stored {
            rev: self.rev + 1,
            created: self.created,
            accessed: self.accessed_at(now),
            content: content.clone(),
        }
    }

    /// Touched, if it is time. WRITE-16, WRITE-17.
    pub(super) fn touched(&self, now: u64) -> Option<Self> {
        let accessed = self.accessed_at(now);
        let least = self.content.idle.map_or(RESOLUTION, |idle| RESOLUTION.min(idle / 10)).max(1);
        (accessed.abs_diff(self.accessed) >= least).then(|| Stored { accessed, ..self.clone() })
    }

    /// With other content, under another ID. ROT-3.
    pub(super) fn rotated(&self, content: &Content, now: u64) -> Self {
        Stored {
            rev: 1,
            created: self.created,
            accessed: self.accessed_at(now),
            content: Content { tokens: Vec::new(), csrf: None, ..content.clone() },
        }
    }
}
