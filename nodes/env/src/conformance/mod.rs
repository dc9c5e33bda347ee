//! What the door promises, as cases that run in both worlds.
//!
//! Each case is an async function over a [`Fixture`], which knows how the world at hand starts a
//! second process, where the other host is, and which faults it can strike with. A case that needs
//! what the world lacks is skipped and says why; it is never passed.

mod agent;
mod block;
mod exec;
mod file;
mod fixture;
mod host;
mod stream;
mod task;
mod tcp;
mod time;
mod udp;
mod unix;

pub use agent::{PROGRAM, main as agent};
pub use fixture::{Case, Code, Fault, Fixture, Place, Process, Stop, Verdict, Wait};

use std::sync::Arc;

/// Checks, or ends the case as failed.
macro_rules! ensure {
    ($cond:expr, $($text:tt)+) => {
        if !$cond {
            return Err($crate::conformance::Stop::Failed(format!($($text)+)));
        }
    };
}
pub(crate) use ensure;

/// Checks that an I/O result is an error of one of these kinds.
macro_rules! ensure_err {
    ($result:expr, $($kind:ident)|+, $what:expr) => {
        match $result {
            Err(e) if matches!(e.kind(), $(std::io::ErrorKind::$kind)|+) => {}
            Err(e) => {
                let (wanted, kind) = (stringify!($($kind)|+), e.kind());
                let text = format!("{}: expected {wanted}, got {e} ({kind:?})", $what);
                return Err($crate::conformance::Stop::Failed(text));
            }
            Ok(_) => {
                let wanted = stringify!($($kind)|+);
                let text = format!("{}: expected {wanted}, but it succeeded", $what);
                return Err($crate::conformance::Stop::Failed(text));
            }
        }
    };
}
pub(crate) use ensure_err;

/// Lists async functions as cases, named after themselves.
macro_rules! list_cases {
    ($($name:ident),+ $(,)?) => {
        pub(super) fn cases() -> Vec<$crate::conformance::Case> {
            vec![$($crate::conformance::Case {
                name: stringify!($name),
                run: |f| Box::pin(async move { $name(&*f).await }),
            }),+]
        }
    };
}
pub(crate) use list_cases;

/// Every case, in order.
pub fn cases() -> Vec<Case> {
    [
        time::cases(),
        task::cases(),
        tcp::cases(),
        stream::cases(),
        udp::cases(),
        unix::cases(),
        exec::cases(),
        block::cases(),
        file::cases(),
        host::cases(),
    ]
    .concat()
}

/// Runs one case. A panic inside is a failure.
pub async fn run(case: &Case, fixture: Arc<dyn Fixture>) -> Verdict {
    match crate::task::contain((case.run)(fixture)).await {
        Ok(Ok(())) => Verdict::Passed,
        Ok(Err(Stop::Failed(why))) => Verdict::Failed(why),
        Ok(Err(Stop::Skipped(why))) => Verdict::Skipped(why),
        Err(panicked) => Verdict::Failed(panicked.to_string()),
    }
}
