//! The conformance kit: tests an implementation of SPEC.md in any language through a driver. `CONFORMANCE.md` is its
//! manual, and the text of the protocol.
//!
//! | room | what it is |
//! |---|---|
//! | `protocol` | requests and answers, held to the JSON Schema |
//! | `process` | a driver's process |
//! | `bench`, `case` | what a case works with, what it is, what can come of it |
//! | `vectors` | the fixtures, compiled in |
//! | `cases` | the cases |
//! | `report` | what came of them, for people and machines |
//! | `referee` | raw fcntl locks, as a driver |
//! | `driver` | the reference implementation's driver |

mod bench;
mod case;
mod cases;
mod driver;
mod process;
mod protocol;
mod referee;
mod report;
mod run;
mod vectors;

pub use case::Class;
pub use driver::driver;
pub use referee::{Kind, referee};
pub use report::{Grade, Report, Result};
pub use run::{Config, Stage, list, run};
