//! One slow request to the world, from start to reply.

use crate::hooks::{self, Handle, Reply, Request, World};
use std::{io, sync::Arc};

/// Sends a request and waits. Dropped in between, the request is not taken back.
pub(super) async fn call(request: Request) -> io::Result<Reply> {
    let world = hooks::world();
    let pending = world.start(hooks::this_process(), request);
    let waiting = Waiting { world, pending };
    std::future::poll_fn(|cx| waiting.world.poll_reply(waiting.pending, cx)).await
}

/// A request whose reply is always [`Reply::Done`].
pub(super) async fn done(request: Request) -> io::Result<()> {
    call(request).await.map(|_| ())
}

/// The world must not answer a kind of request with another kind of reply.
pub(super) fn unexpected(reply: &Reply) -> io::Error {
    io::Error::other(format!("the world answered with {reply:?}"))
}

struct Waiting {
    world: Arc<dyn World>,
    pending: Handle,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.world.forget(self.pending);
    }
}

/// What a reply handed out; given back when dropped.
pub(super) struct Held {
    world: Arc<dyn World>,
    pub(super) handle: Handle,
}

impl Held {
    pub(super) fn new(handle: Handle) -> Self {
        Held { world: hooks::world(), handle }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.world.release(self.handle);
    }
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.handle.fmt(f)
    }
}
