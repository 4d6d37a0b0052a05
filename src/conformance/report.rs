//! What came of the cases: for people, as JSON, and in the XML of `JUnit`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use serde_json::{Value, json};

use super::bench::Hello;

/// How a case was graded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grade {
    /// As SPEC.md asks for.
    Passed,
    /// The implementation is wrong.
    Failed,
    /// It says that it cannot, though it claims the class and the features.
    Skipped,
    /// It, or its driver, broke down.
    Errored,
    /// It did not answer in time.
    Hang,
}

impl Grade {
    /// As reports write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Grade::Passed => "passed",
            Grade::Failed => "failed",
            Grade::Skipped => "skipped",
            Grade::Errored => "errored",
            Grade::Hang => "HANG",
        }
    }
}

/// What came of one case.
#[derive(Clone, Debug)]
pub struct Result {
    /// The case.
    pub id: String,
    /// The section of SPEC.md that it is about.
    pub section: &'static str,
    /// What it shows.
    pub description: String,
    /// The rules that it exercises.
    pub rules: Vec<String>,
    /// How it was graded.
    pub grade: Grade,
    /// Why, unless it passed.
    pub message: String,
    /// Whether it was expected not to pass.
    pub expected_failure: bool,
    /// How long it took.
    pub took: Duration,
}

impl Result {
    /// Whether it is what was expected.
    #[must_use]
    pub fn is_good(&self) -> bool {
        (self.grade == Grade::Passed) != self.expected_failure
    }
}

/// What came of all of them.
#[derive(Clone, Debug)]
pub struct Report {
    pub(crate) hello: Hello,
    /// Each case, in order.
    pub results: Vec<Result>,
    /// How many cases need a class or a feature that the implementation does not claim.
    pub not_applicable: usize,
    /// Names in the list of expected failures that no case has.
    pub unknown: Vec<String>,
}

impl Report {
    /// Whether all is as expected, and anything was tried at all.
    #[must_use]
    pub fn is_good(&self) -> bool {
        !self.results.is_empty() && self.unknown.is_empty() && self.results.iter().all(Result::is_good)
    }

    /// How many have that grade.
    #[must_use]
    pub fn count(&self, grade: Grade) -> usize {
        self.results.iter().filter(|result| result.grade == grade).count()
    }

    fn totals(&self) -> String {
        let mut text = format!("{} passed", self.count(Grade::Passed));
        for grade in [Grade::Failed, Grade::Skipped, Grade::Errored, Grade::Hang] {
            let _ = write!(text, ", {} {}", self.count(grade), grade.name());
        }
        let _ = write!(text, "; {} not applicable", self.not_applicable);
        let expected = self.results.iter().filter(|result| result.expected_failure).count();
        if expected > 0 {
            let _ = write!(text, "; {expected} expected failures");
        }
        if !self.unknown.is_empty() {
            let _ = write!(text, "; {} expected failures that no case is called", self.unknown.len());
        }
        text
    }

    /// A table by section of SPEC.md, after what did not go as expected.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        for result in self.results.iter().filter(|result| !result.is_good()) {
            let Result { id, description, message, .. } = result;
            let rules = result.rules.join(", ");
            let word = match result.grade {
                Grade::Passed => "passed, though it is expected to fail: take it off the list",
                grade => grade.name(),
            };
            let _ = writeln!(text, "{word}: {id}\n    {description} ({rules})");
            if !message.is_empty() {
                let _ = writeln!(text, "    {message}");
            }
        }
        for name in &self.unknown {
            let _ = writeln!(text, "the list of expected failures names {name}, and no case is called that");
        }
        if !text.is_empty() {
            text.push('\n');
        }
        let mut sections: BTreeMap<(u32, &str), [usize; 5]> = BTreeMap::new();
        for result in &self.results {
            let number = result.section.split([' ', '.']).next().and_then(|number| number.parse().ok());
            sections.entry((number.unwrap_or(u32::MAX), result.section)).or_default()
                [result.grade as usize] += 1;
        }
        let _ = writeln!(
            text,
            "{:<36}{:>8}{:>8}{:>9}{:>9}{:>6}",
            "SPEC.md", "passed", "failed", "skipped", "errored", "HANG"
        );
        for ((_, section), [passed, failed, skipped, errored, hang]) in &sections {
            let _ = writeln!(text, "{section:<36}{passed:>8}{failed:>8}{skipped:>9}{errored:>9}{hang:>6}");
        }
        let Hello { implementation, version, language, .. } = &self.hello;
        let _ = writeln!(text, "\n{implementation} {version} ({language}): {}", self.totals());
        text
    }

    /// One JSON object.
    #[must_use]
    pub fn json(&self) -> Value {
        let hello = &self.hello;
        let result = |result: &Result| {
            json!({
                "id": result.id,
                "section": result.section,
                "description": result.description,
                "rules": result.rules,
                "result": result.grade.name(),
                "expected_failure": result.expected_failure,
                "message": result.message,
                "ms": u64::try_from(result.took.as_millis()).unwrap_or(u64::MAX),
            })
        };
        json!({
            "implementation": hello.implementation,
            "version": hello.version,
            "language": hello.language,
            "classes": hello.classes,
            "features": hello.features,
            "lock": hello.lock,
            "passed": self.count(Grade::Passed),
            "failed": self.count(Grade::Failed),
            "skipped": self.count(Grade::Skipped),
            "errored": self.count(Grade::Errored),
            "hang": self.count(Grade::Hang),
            "not_applicable": self.not_applicable,
            "unknown_expected_failures": self.unknown,
            "as_expected": self.is_good(),
            "cases": self.results.iter().map(result).collect::<Vec<_>>(),
        })
    }

    /// The XML of `JUnit`: expected failures are skipped there, and one that passes fails.
    #[must_use]
    pub fn junit(&self) -> String {
        let bad = |grade: Grade| {
            self.results.iter().filter(|result| !result.is_good() && result.grade == grade).count()
        };
        let failures = bad(Grade::Failed) + bad(Grade::Skipped) + bad(Grade::Passed);
        let errors = bad(Grade::Errored) + bad(Grade::Hang);
        let skipped = self.results.iter().filter(|r| r.expected_failure && r.is_good()).count();
        let name = xml(&self.hello.implementation);
        let mut text = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n<testsuite name=\"{name}\" tests=\"{}\" \
             failures=\"{failures}\" errors=\"{errors}\" skipped=\"{skipped}\">\n",
            self.results.len()
        );
        for result in &self.results {
            let (class, id, seconds) = (xml(result.section), xml(&result.id), result.took.as_secs_f64());
            let _ = write!(text, "<testcase classname=\"{class}\" name=\"{id}\" time=\"{seconds:.3}\"");
            let message = xml(&result.message);
            let _ = match (result.is_good(), result.grade) {
                (true, Grade::Passed) => writeln!(text, "/>"),
                (true, _) => writeln!(text, "><skipped message=\"expected: {message}\"/></testcase>"),
                (false, Grade::Errored | Grade::Hang) => {
                    writeln!(
                        text,
                        "><error type=\"{}\" message=\"{message}\"/></testcase>",
                        result.grade.name()
                    )
                }
                (false, grade) => {
                    writeln!(text, "><failure type=\"{}\" message=\"{message}\"/></testcase>", grade.name())
                }
            };
        }
        text.push_str("</testsuite>\n</testsuites>\n");
        text
    }
}

/// Text as XML has it; what XML cannot hold is replaced.
fn xml(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(' '),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            char if char.is_control() => out.push('\u{fffd}'),
            char => out.push(char),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(results: Vec<Result>) -> Report {
        let (implementation, version, language) =
            ("a <b> & \"c\"".to_owned(), "1".to_owned(), "none".to_owned());
        let hello = Hello {
            implementation,
            version,
            language,
            classes: Vec::new(),
            features: Vec::new(),
            lock: "none".to_owned(),
        };
        Report { hello, results, not_applicable: 3, unknown: Vec::new() }
    }

    fn result(grade: Grade, expected_failure: bool) -> Result {
        Result {
            id: "record/x".to_owned(),
            section: "7 The record",
            description: "X.".to_owned(),
            rules: vec!["VAL-1".to_owned()],
            grade,
            message: if grade == Grade::Passed { String::new() } else { "bad \u{1}<x>".to_owned() },
            expected_failure,
            took: Duration::from_millis(1500),
        }
    }

    #[test]
    fn an_expected_failure_is_good_and_an_unexpected_pass_is_not() {
        assert!(report(vec![result(Grade::Passed, false), result(Grade::Failed, true)]).is_good());
        assert!(!report(vec![result(Grade::Passed, true)]).is_good());
        for grade in [Grade::Failed, Grade::Skipped, Grade::Errored, Grade::Hang] {
            assert!(!report(vec![result(grade, false)]).is_good(), "{grade:?}");
        }
        assert!(!report(Vec::new()).is_good(), "a run of nothing");
        let unknown = vec!["nobody".to_owned()];
        assert!(!Report { unknown, ..report(vec![result(Grade::Passed, false)]) }.is_good());
    }

    #[test]
    fn each_form_shows_every_case() {
        let report = report(vec![
            result(Grade::Passed, false),
            result(Grade::Hang, false),
            result(Grade::Failed, true),
        ]);
        let text = report.text();
        assert!(text.contains("HANG: record/x\n    X. (VAL-1)\n    bad"), "{text}");
        assert!(
            text.contains("1 passed, 1 failed, 0 skipped, 0 errored, 1 HANG; 3 not applicable; 1 expected"),
            "{text}"
        );
        let junit = report.junit();
        assert!(junit.contains("tests=\"3\" failures=\"0\" errors=\"1\" skipped=\"1\""), "{junit}");
        assert!(junit.contains("name=\"a &lt;b&gt; &amp; &quot;c&quot;\""), "{junit}");
        assert!(junit.contains("message=\"bad \u{fffd}&lt;x&gt;\""), "{junit}");
        assert_eq!(report.json()["cases"].as_array().map(Vec::len), Some(3));
        assert_eq!(report.json()["hang"], 1);
    }
}
