//! Running other programs, to their end or as a stream of lines.
//!
//! A child lives no longer than its handle: dropping it kills it, with all it started. In
//! simulation programs come from the simulator's table; names and arguments are the same.

use crate::{imp::exec as imp, time};
use bytes::Bytes;
use std::{fmt, io, pin::Pin, task::Poll, time::Duration};
use tokio::io::{AsyncRead, ReadBuf};

/// Output beyond this ends a command with an error: no tool of ours says so much.
pub const MAX_OUTPUT: usize = 64 << 20;
/// A longer line arrives in pieces.
pub const MAX_LINE: usize = 1 << 20;

/// What to run.
#[derive(Clone, Debug)]
pub struct Command {
    pub(crate) program: String,
    pub(crate) args: Vec<String>,
    pub(crate) stdin: Bytes,
}

impl Command {
    /// A program, by name (looked up as usual) or path.
    pub fn new(program: impl Into<String>) -> Self {
        Command { program: program.into(), args: Vec::new(), stdin: Bytes::new() }
    }

    /// One more argument.
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// More arguments.
    pub fn args<A: Into<String>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// What it reads on its standard input; nothing unless said.
    pub fn stdin(mut self, data: impl Into<Bytes>) -> Self {
        self.stdin = data.into();
        self
    }

    /// Starts it. `NotFound` if there is no such program.
    pub async fn start(self) -> io::Result<Child> {
        let child = imp::start(self).await?;
        Ok(Child { inner: child, out: Splitter::default(), err: Splitter::default() })
    }

    /// Runs it to its end, for at most `limit`; then it is killed and the error is `TimedOut`.
    pub async fn output(self, limit: Duration) -> io::Result<Output> {
        let deadline = time::now() + limit;
        let what = self.to_string();
        let mut child = self.start().await?;
        match time::timeout_at(deadline, child.collect()).await {
            Ok(result) => result,
            Err(_) => {
                child.kill();
                let text = format!("`{what}` did not end within {limit:?} and was killed");
                Err(io::Error::new(io::ErrorKind::TimedOut, text))
            }
        }
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.program)?;
        self.args.iter().try_for_each(|a| write!(f, " {a}"))
    }
}

/// How a program ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ExitStatus {
    /// It ended by itself.
    Code(u8),
    /// A signal ended it.
    Signal(u8),
}

impl ExitStatus {
    /// It ended by itself with code 0.
    pub fn success(self) -> bool {
        self == ExitStatus::Code(0)
    }
}

impl fmt::Display for ExitStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExitStatus::Code(c) => write!(f, "exit code {c}"),
            ExitStatus::Signal(s) => write!(f, "signal {s}"),
        }
    }
}

/// All a program said, and how it ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Output {
    /// How it ended.
    pub status: ExitStatus,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
}

/// One line of output, without its end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Line {
    /// From standard output.
    Out(String),
    /// From standard error.
    Err(String),
}

/// A running program.
pub struct Child {
    inner: imp::Child,
    out: Splitter,
    err: Splitter,
}

impl Child {
    /// The next line of either stream; `None` when the program has closed both.
    pub async fn next_line(&mut self) -> io::Result<Option<Line>> {
        std::future::poll_fn(|cx| {
            let out = self.out.poll_line(cx, &mut self.inner.stdout)?;
            if let Poll::Ready(Some(line)) = out {
                return Poll::Ready(Ok(Some(Line::Out(line))));
            }
            match self.err.poll_line(cx, &mut self.inner.stderr)? {
                Poll::Ready(Some(line)) => Poll::Ready(Ok(Some(Line::Err(line)))),
                Poll::Ready(None) if out.is_ready() => Poll::Ready(Ok(None)),
                _ => Poll::Pending,
            }
        })
        .await
    }

    /// Asks it to end (SIGTERM).
    pub fn terminate(&mut self) {
        self.inner.terminate();
    }

    /// Kills it with all it started (SIGKILL).
    pub fn kill(&mut self) {
        self.inner.kill();
    }

    /// Waits for its end. Its output must be read, or a full pipe may hold it for ever.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        self.inner.wait().await
    }

    async fn collect(&mut self) -> io::Result<Output> {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let read = std::future::poll_fn(|cx| -> Poll<io::Result<()>> {
            let out = poll_collect(cx, &mut self.inner.stdout, &mut stdout)?;
            let err = poll_collect(cx, &mut self.inner.stderr, &mut stderr)?;
            if out.is_ready() && err.is_ready() { Poll::Ready(Ok(())) } else { Poll::Pending }
        });
        read.await?;
        Ok(Output { status: self.wait().await?, stdout, stderr })
    }
}

type Cx<'a, 'b> = &'a mut std::task::Context<'b>;

/// Reads what there is; ready at the end of the stream.
fn poll_collect(cx: Cx<'_, '_>, pipe: &mut imp::Pipe, into: &mut Vec<u8>) -> Poll<io::Result<()>> {
    loop {
        let mut chunk = [0; 8192];
        let mut buf = ReadBuf::new(&mut chunk);
        std::task::ready!(Pin::new(&mut *pipe).poll_read(cx, &mut buf))?;
        if buf.filled().is_empty() {
            return Poll::Ready(Ok(()));
        }
        if into.len() + buf.filled().len() > MAX_OUTPUT {
            let text = format!("the program said more than {MAX_OUTPUT} bytes");
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::FileTooLarge, text)));
        }
        into.extend_from_slice(buf.filled());
    }
}

/// Cuts a stream of bytes into lines.
#[derive(Default)]
struct Splitter {
    held: Vec<u8>,
    /// How much of `held` is known to have no line end.
    searched: usize,
    ended: bool,
}

impl Splitter {
    fn poll_line(
        &mut self,
        cx: Cx<'_, '_>,
        pipe: &mut imp::Pipe,
    ) -> Poll<io::Result<Option<String>>> {
        loop {
            if let Some(line) = self.take_line() {
                return Poll::Ready(Ok(Some(line)));
            }
            if self.ended {
                return Poll::Ready(Ok(None));
            }
            let mut chunk = [0; 8192];
            let mut buf = ReadBuf::new(&mut chunk);
            std::task::ready!(Pin::new(&mut *pipe).poll_read(cx, &mut buf))?;
            self.ended = buf.filled().is_empty();
            self.held.extend_from_slice(buf.filled());
        }
    }

    /// Takes a whole line, a piece of a line that is too long, or what is left at the end.
    fn take_line(&mut self) -> Option<String> {
        let end = self.held[self.searched..].iter().position(|&b| b == b'\n');
        let (len, skip) = match end {
            Some(at) => (self.searched + at, 1),
            None if self.held.len() >= MAX_LINE => (MAX_LINE, 0),
            None if self.ended && !self.held.is_empty() => (self.held.len(), 0),
            None => {
                self.searched = self.held.len();
                return None;
            }
        };
        let line = String::from_utf8_lossy(&self.held[..len]).into_owned();
        self.held.drain(..len + skip);
        self.searched = 0;
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use super::{MAX_LINE, Splitter};

    fn lines(chunks: &[&[u8]]) -> Vec<String> {
        let mut s = Splitter::default();
        let mut got = Vec::new();
        for chunk in chunks {
            s.held.extend_from_slice(chunk);
            got.extend(std::iter::from_fn(|| s.take_line()));
        }
        s.ended = true;
        got.extend(std::iter::from_fn(|| s.take_line()));
        got
    }

    #[test]
    fn lines_are_cut_wherever_chunks_end() {
        assert_eq!(lines(&[b"a\nb", b"c\n\nd"]), ["a", "bc", "", "d"]);
        assert_eq!(lines(&[b"", b"\n"]), [""]);
        assert!(lines(&[b""]).is_empty());
    }

    #[test]
    fn an_endless_line_comes_in_pieces() {
        let long = vec![b'x'; MAX_LINE + 3];
        let got = lines(&[&long]);
        assert_eq!(got.iter().map(String::len).collect::<Vec<_>>(), [MAX_LINE, 3]);
    }
}
