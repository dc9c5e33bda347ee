//! Tasks of this process, and what a panic does.
//!
//! A panic in any task ends the process, in both worlds: state that tasks share may be half
//! changed. Code that must survive a panic runs it inside [`contain`].

use std::{
    any::Any,
    fmt,
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    task::{Context, Poll},
};

use crate::imp::task as imp;

/// Starts a task. It ends with its process, when aborted, or by itself; dropping the handle lets it
/// run on.
#[track_caller]
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    JoinHandle(imp::spawn(ends_process(future)))
}

/// Lets other tasks run first.
pub async fn yield_now() {
    tokio::task::yield_now().await;
}

/// The result of a task, to be awaited.
#[must_use = "await it, keep it to abort the task, or say `detach`"]
pub struct JoinHandle<T>(imp::Handle<T>);

impl<T> JoinHandle<T> {
    /// Stops the task at its next await.
    pub fn abort(&self) {
        self.0.abort();
    }

    /// Whether the task has ended.
    pub fn is_finished(&self) -> bool {
        self.0.is_finished()
    }

    /// Lets the task run on its own.
    pub fn detach(self) {}

    /// A guard that aborts the task when dropped.
    pub fn abort_on_drop(self) -> AbortOnDrop<T> {
        AbortOnDrop(self)
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = Result<T, Cancelled>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(|r| r.map_err(|_| Cancelled))
    }
}

/// Aborts its task when dropped.
pub struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> Future for AbortOnDrop<T> {
    type Output = Result<T, Cancelled>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx)
    }
}

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The task was aborted before it could end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cancelled;

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the task was aborted")
    }
}

impl std::error::Error for Cancelled {}

/// A panic that was contained.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Panicked(pub String);

impl fmt::Display for Panicked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "panicked: {}", self.0)
    }
}

impl std::error::Error for Panicked {}

/// Runs the future; a panic inside becomes an error here. The caller vouches that nothing the
/// future shares with others is left half changed.
pub async fn contain<F: Future>(future: F) -> Result<F::Output, Panicked> {
    let mut future = pin!(future);
    std::future::poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(poll) => poll.map(Ok),
        Err(payload) => Poll::Ready(Err(Panicked(message(&*payload)))),
    })
    .await
}

/// What a panic's payload says.
pub(crate) fn message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied();
    let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a payload that is no text").to_string()
}

/// Runs the future; a panic inside ends the process.
pub(crate) async fn ends_process<F: Future>(future: F) -> F::Output {
    match contain(future).await {
        Ok(out) => out,
        Err(panicked) => {
            imp::end_process(panicked.0);
            // Reached in simulation only: the process is dead and its tasks are never woken.
            std::future::pending().await
        }
    }
}
