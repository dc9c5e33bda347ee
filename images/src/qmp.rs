//! QEMU's machine protocol: as much of it as a lab needs. Typed clients break on other versions of
//! QEMU; this one looks only at what it asked for.

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// QEMU answers in milliseconds, or hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// A connection to one QEMU.
pub struct Qmp {
    reader: BufReader<UnixStream>,
    writer: UnixStream,
    serial: u64,
}

impl Qmp {
    /// Connects and shakes hands.
    pub fn open(socket: &Path) -> Result<Qmp> {
        let writer = UnixStream::connect(socket)?;
        writer.set_read_timeout(Some(PATIENCE))?;
        let mut qmp = Qmp { reader: BufReader::new(writer.try_clone()?), writer, serial: 0 };
        // The greeting.
        qmp.line()?;
        qmp.call("qmp_capabilities", json!({}))?;
        Ok(qmp)
    }

    fn line(&mut self) -> Result<Value> {
        let mut line = String::new();
        if self.reader.read_line(&mut line).context("QEMU does not answer")? == 0 {
            bail!("QEMU went away");
        }
        serde_json::from_str(&line).with_context(|| format!("QEMU said {line}"))
    }

    /// What a command returns. Fails with QEMU's own words.
    pub fn call(&mut self, command: &str, arguments: Value) -> Result<Value> {
        self.serial += 1;
        let call = json!({"execute": command, "arguments": arguments, "id": self.serial});
        writeln!(self.writer, "{call}").with_context(|| format!("{command}: QEMU went away"))?;
        loop {
            let answer = self.line()?;
            // Events come between.
            if answer["id"] != self.serial {
                continue;
            }
            if let Some(error) = answer.get("error") {
                bail!("{command}: {}", error["desc"].as_str().unwrap_or("QEMU does not say why"));
            }
            return Ok(answer["return"].clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    /// A QEMU that says what it is told to say, an answer for each line that it reads.
    fn pretend(answers: &'static [&'static str]) -> (std::path::PathBuf, UnixListener) {
        let name = format!("qmp-test-{}-{}", std::process::id(), answers.len());
        let path = std::env::temp_dir().join(name);
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path).unwrap();
        let server = listener.try_clone().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = server.accept().unwrap();
            writeln!(stream, "{{\"QMP\": {{}}}}").unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            for answer in answers {
                lines.next();
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        (path, listener)
    }

    #[test]
    fn events_come_between_and_errors_are_told() {
        let (path, _listener) = pretend(&[
            "{\"return\": {}, \"id\": 1}\n",
            "{\"event\": \"STOP\"}\n{\"return\": {\"running\": true}, \"id\": 2}\n",
            "{\"error\": {\"desc\": \"no such node\"}, \"id\": 3}\n",
        ]);
        let mut qmp = Qmp::open(&path).unwrap();
        let status = qmp.call("query-status", json!({})).unwrap();
        assert_eq!(status["running"], true);
        let error = qmp.call("blockdev-del", json!({})).unwrap_err();
        assert_eq!(error.to_string(), "blockdev-del: no such node");
        assert!(qmp.call("stop", json!({})).is_err(), "it went away");
        let _ = std::fs::remove_file(path);
    }
}
