//! The library in a process of its own, behind the C program that loads it.

use core::fmt::{Debug, Display, Write as _};
use core::str::FromStr;
use std::collections::VecDeque;
use std::env;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use weirgate_tests::stack::Errno;

/// A process that has the library loaded.
pub(crate) struct Driver {
    process: Child,
    calls: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    now: u64,
    deadline: Option<u64>,
    packets: usize,
}

/// What a call gave.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) result: i64,
    pub(crate) errno: i32,
    words: VecDeque<String>,
}

impl Driver {
    /// Starts the program with these flags.
    pub(crate) fn start(flags: &str) -> Self {
        let mut process = Command::new(env!("PACKETDRILL_TEST_DRIVER"))
            .arg(library())
            .arg(flags)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut driver = Self {
            calls: process.stdin.take(),
            answers: BufReader::new(process.stdout.take().unwrap()),
            process,
            now: 0,
            deadline: None,
            packets: 0,
        };
        // Nothing is done by that, but where the clock stands is known.
        driver.call("epoll_create");
        driver
    }

    /// Makes a call and waits until every thread has returned or waits.
    pub(crate) fn call(&mut self, line: &str) -> Answer {
        writeln!(self.calls.as_ref().unwrap(), "{line}").unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        assert!(!answer.is_empty(), "the process ended in `{line}`");
        let words = answer.split_whitespace().map(str::to_owned).collect();
        let mut answer = Answer {
            result: 0,
            errno: 0,
            words,
        };
        answer.result = answer.next();
        answer.errno = answer.next();
        self.now = answer.next();
        self.deadline = u64::try_from(answer.next::<i64>()).ok();
        self.packets = answer.next();
        answer
    }

    /// Makes a call in a thread of its own; the number is for [`Driver::result`].
    pub(crate) fn begin(&mut self, line: &str) -> i64 {
        self.call(&format!("&{line}")).result
    }

    /// The result of a call in a thread of its own, and when it ended; `None` while it waits.
    pub(crate) fn result(&mut self, number: i64) -> Option<(Answer, u64)> {
        let mut answer = self.call(&format!("result {number}"));
        if answer.result == -2 {
            return None;
        }
        let ended = answer.next();
        Some((answer, ended))
    }

    /// The time after the last call, in microseconds.
    pub(crate) fn now(&self) -> u64 {
        self.now
    }

    /// When something will happen, in microseconds.
    pub(crate) fn deadline(&self) -> Option<u64> {
        self.deadline
    }

    /// Packets that were sent and not received.
    pub(crate) fn packets(&self) -> usize {
        self.packets
    }

    /// Lets time go on until `to`, in microseconds.
    pub(crate) fn sleep_until(&mut self, to: u64) {
        while self.now < to {
            let micros = (to - self.now).min(u64::from(u32::MAX));
            self.call(&format!("usleep {micros}"));
        }
    }

    /// The next packet, and when it was sent; lets time go on for it.
    pub(crate) fn receive(&mut self) -> Option<(u64, Vec<u8>)> {
        let mut answer = self.call("receive");
        assert_eq!(answer.result, 0, "errno {}", answer.errno);
        let at: i64 = answer.next();
        let packet = answer.octets();
        (!packet.is_empty()).then(|| (u64::try_from(at).unwrap(), packet))
    }

    /// Ends the session; whether the process ended well.
    pub(crate) fn end(mut self) -> bool {
        self.calls = None;
        self.process.wait().unwrap().success()
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.calls = None;
        // Its end is a matter of the test that asks for it.
        let _ = self.process.wait();
    }
}

impl Answer {
    /// The next thing that the call gave.
    pub(crate) fn next<T: FromStr<Err: Debug>>(&mut self) -> T {
        self.words.pop_front().unwrap().parse().unwrap()
    }

    /// The next octets.
    pub(crate) fn octets(&mut self) -> Vec<u8> {
        let word: String = self.next();
        let digits = word.trim_matches('-').as_bytes().chunks(2);
        digits
            .map(|pair| u8::from_str_radix(core::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }

    /// The result, or the error.
    pub(crate) fn checked(&self) -> Result<i64, Errno> {
        if self.result >= 0 {
            return Ok(self.result);
        }
        let known = Errno::from_number(self.errno);
        Err(known.unwrap_or_else(|| panic!("errno {} is unknown", self.errno)))
    }
}

/// Octets as the program reads them.
pub(crate) fn hex(octets: &[u8]) -> impl Display {
    let mut digits = String::new();
    for octet in octets {
        write!(digits, "{octet:02x}").unwrap();
    }
    if digits.is_empty() {
        digits.push('-');
    }
    digits
}

/// The library, which Cargo puts beside the tests or one directory above.
pub(crate) fn library() -> PathBuf {
    let program = env::current_exe().unwrap();
    let places = program.ancestors().skip(1).take(2);
    let mut candidates = places.map(|place| place.join("libweirgate_packetdrill.so"));
    candidates.find(|path| path.exists()).unwrap()
}
