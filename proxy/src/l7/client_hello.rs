//! The first message of a TLS connection, as far as routing needs it (RFC 8446 section 4.1.2).
//!
//! In: the first octets that a client sent. Out: the server name (RFC 6066 section 3) and the
//! protocols (RFC 7301) that it asks for, or how many octets are needed before anything more can
//! be said, or that this is no TLS. The message may be cut into records and these into segments
//! wherever the client likes; versions, cipher suites and extensions that nobody knows (GREASE, RFC
//! 8701) are skipped. Of a client that encrypts its ClientHello (ECH) only the outer one can be
//! read: its public name is what counts here.

use core::fmt;

use thiserror::Error;

/// Octets of the largest ClientHello that is read, its header included.
pub const MAX_HELLO: usize = 16 << 10;

/// Octets of the largest ClientHello with the headers of its records. Clients make few records;
/// who makes a hundred small ones is up to no good.
pub const MAX_LEN: usize = MAX_HELLO + (1 << 10);

/// Octets of the longest host name.
pub const LONGEST_NAME: usize = 253;

/// Octets of a record's header.
const RECORD_HEADER_LEN: usize = 5;

/// Octets of a handshake message's header.
const MESSAGE_HEADER_LEN: usize = 4;

/// The largest record (RFC 8446 section 5.1).
const MAX_RECORD: usize = 1 << 14;

/// Content type of records that carry handshake messages, and the type of this message.
const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;

/// Extensions that are read.
const SERVER_NAME: u16 = 0;
const ALPN: u16 = 16;

/// What a client asks for.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ClientHello {
    /// The server that it wants.
    pub server_name: ServerName,
    /// The protocols that it offers, in its order.
    pub protocols: Protocols,
}

/// The name of the server that a client wants.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum ServerName {
    /// It does not say.
    #[default]
    Absent,
    /// A host name, in lower case.
    Host(Box<str>),
    /// Something that cannot be the name of a host, such as an IP address.
    NotAHost,
}

/// A list of protocol names, as in the ALPN extension: each with its length before it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Protocols(Box<[u8]>);

/// How far the message could be read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Parsed {
    /// All of it.
    Complete(ClientHello),
    /// There must be so many octets before anything more can be said.
    Needs(usize),
}

/// Why there is no ClientHello.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum ParseError {
    /// This is something else.
    #[error("this is not TLS")]
    NotTls,
    /// The message is larger than [`MAX_HELLO`], or its records too many.
    #[error("the ClientHello is too large")]
    TooLarge,
    /// The message contradicts the standard.
    #[error("the ClientHello is malformed")]
    Malformed,
}

impl Protocols {
    /// The names, in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &self.0[..];
        core::iter::from_fn(move || {
            let (len, after) = rest.split_first()?;
            let (name, after) = after.split_at_checked(usize::from(*len))?;
            rest = after;
            Some(name)
        })
    }

    /// The name, if there is just one.
    pub fn only(&self) -> Option<&[u8]> {
        let mut names = self.iter();
        names.next().filter(|_| names.next().is_none())
    }

    #[cfg(test)]
    pub(crate) fn of(names: &[&str]) -> Self {
        let with_length = |name: &&str| [&[name.len() as u8][..], name.as_bytes()].concat();
        Self(names.iter().flat_map(with_length).collect())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Protocols {
    /// The names with commas between them; what is not printable is escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, name) in self.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{}", name.escape_ascii())?;
        }
        Ok(())
    }
}

/// Reads the ClientHello at the front of `octets`. `scratch` is used to put together a message
/// that comes in several records.
pub fn parse(octets: &[u8], scratch: &mut Vec<u8>) -> Result<Parsed, ParseError> {
    let message = match join_records(octets, scratch)? {
        Joined::Message(message) => message,
        Joined::Needs(len) => return Ok(Parsed::Needs(len)),
    };
    parse_message(message)
        .map(Parsed::Complete)
        .ok_or(ParseError::Malformed)
}

enum Joined<'a> {
    /// The body of the message.
    Message(&'a [u8]),
    Needs(usize),
}

/// Finds the body of the first message, and puts it together if it is in several records.
fn join_records<'a>(octets: &'a [u8], scratch: &'a mut Vec<u8>) -> Result<Joined<'a>, ParseError> {
    scratch.clear();
    let mut at = 0;
    loop {
        let record = match record_at(octets, at)? {
            Some(record) => record,
            None => return needs(at + RECORD_HEADER_LEN),
        };
        let start = at + RECORD_HEADER_LEN;
        let end = start + record;
        let here = &octets[start.min(octets.len())..end.min(octets.len())];
        // The message's own header, which may be cut, too.
        let joined = scratch.len() + here.len();
        let first = |index: usize| {
            let behind = index.checked_sub(scratch.len());
            behind.map_or_else(|| scratch[index], |behind| here[behind])
        };
        if joined > 0 && first(0) != CLIENT_HELLO {
            return Err(ParseError::NotTls);
        }
        let whole = (joined >= MESSAGE_HEADER_LEN).then(|| {
            let len = u32::from_be_bytes([0, first(1), first(2), first(3)]);
            MESSAGE_HEADER_LEN + len as usize
        });
        if whole.is_some_and(|whole| whole > MAX_HELLO) {
            return Err(ParseError::TooLarge);
        }
        if let Some(whole) = whole.filter(|whole| *whole <= joined) {
            if scratch.is_empty() {
                return Ok(Joined::Message(&here[MESSAGE_HEADER_LEN..whole]));
            }
            scratch.extend_from_slice(&here[..whole - scratch.len()]);
            return Ok(Joined::Message(&scratch[MESSAGE_HEADER_LEN..]));
        }
        if end > octets.len() {
            // The end of the message, or of the record if that comes first.
            let missing = whole.map_or(MESSAGE_HEADER_LEN, |whole| whole) - scratch.len();
            return needs(end.min(start + missing));
        }
        scratch.extend_from_slice(here);
        at = end;
    }
}

fn needs<'a>(len: usize) -> Result<Joined<'a>, ParseError> {
    if len > MAX_LEN {
        return Err(ParseError::TooLarge);
    }
    Ok(Joined::Needs(len))
}

/// Octets in the record that begins at `at`; `None` if its header is not all there.
fn record_at(octets: &[u8], at: usize) -> Result<Option<usize>, ParseError> {
    let header = &octets[at..octets.len().min(at + RECORD_HEADER_LEN)];
    // What is wrong is said as soon as it is seen. RFC 8446 5.1: only the major version means
    // anything.
    for (octet, expected) in header.iter().zip([HANDSHAKE, 3]) {
        if *octet != expected {
            return Err(ParseError::NotTls);
        }
    }
    let &[_, _, _, high, low] = header else {
        return Ok(None);
    };
    match usize::from(u16::from_be_bytes([high, low])) {
        // RFC 8446 5.1: no empty fragments of handshake messages.
        0 => Err(ParseError::Malformed),
        len if len > MAX_RECORD => Err(ParseError::Malformed),
        len => Ok(Some(len)),
    }
}

/// What is left to read of something.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1).map(|octets| octets[0])
    }

    fn u16(&mut self) -> Option<u16> {
        self.take(2)
            .map(|octets| u16::from_be_bytes([octets[0], octets[1]]))
    }

    /// What has its length, of one octet, before it.
    fn short(&mut self) -> Option<&'a [u8]> {
        let len = self.u8()?;
        self.take(len.into())
    }

    /// What has its length, of two octets, before it.
    fn long(&mut self) -> Option<Self> {
        let len = self.u16()?;
        self.take(len.into()).map(Self)
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Reads the body of the message; `None` if it is malformed.
fn parse_message(body: &[u8]) -> Option<ClientHello> {
    let mut body = Reader(body);
    // Version and random.
    body.take(2 + 32)?;
    let session_id = body.short()?;
    let cipher_suites = body.long()?;
    let compressions = body.short()?;
    let suites_len = cipher_suites.0.len();
    if session_id.len() > 32
        || suites_len == 0
        || !suites_len.is_multiple_of(2)
        || compressions.is_empty()
    {
        return None;
    }
    let mut hello = ClientHello::default();
    if body.is_empty() {
        // RFC 5246 7.4.1.2: extensions may be missing altogether.
        return Some(hello);
    }
    let mut extensions = body.long()?;
    if !body.is_empty() {
        return None;
    }
    while !extensions.is_empty() {
        let kind = extensions.u16()?;
        let content = extensions.long()?;
        // RFC 8446 4.2: no extension twice.
        match kind {
            SERVER_NAME if hello.server_name == ServerName::Absent => {
                hello.server_name = parse_server_name(content)?;
            }
            ALPN if hello.protocols.is_empty() => hello.protocols = parse_protocols(content)?,
            SERVER_NAME | ALPN => return None,
            _ => {}
        }
    }
    Some(hello)
}

fn parse_server_name(mut extension: Reader<'_>) -> Option<ServerName> {
    const HOST_NAME: u8 = 0;
    let mut list = extension.long()?;
    if !extension.is_empty() || list.is_empty() {
        return None;
    }
    let mut name = None;
    while !list.is_empty() {
        let kind = list.u8()?;
        let content = list.long()?;
        if kind != HOST_NAME {
            continue;
        }
        // RFC 6066 3: one name of a type.
        if content.is_empty() || name.replace(content.0).is_some() {
            return None;
        }
    }
    let host = name.and_then(|name| host_name(name));
    Some(host.map_or(ServerName::NotAHost, ServerName::Host))
}

fn parse_protocols(mut extension: Reader<'_>) -> Option<Protocols> {
    let list = extension.long()?;
    let all = list.0;
    let mut rest = list;
    if !extension.is_empty() || all.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        if rest.short()?.is_empty() {
            return None;
        }
    }
    Some(Protocols(all.into()))
}

/// A name in lower case, if a host can have it.
///
/// RFC 6066 section 3 wants ASCII, no dot at the end, and no addresses. Underscores are not in RFC
/// 1123, but in use.
pub fn host_name(name: &[u8]) -> Option<Box<str>> {
    const LONGEST_LABEL: usize = 63;
    let is_label = |label: &[u8]| {
        let allowed = |octet: &u8| octet.is_ascii_alphanumeric() || b"-_".contains(octet);
        !label.is_empty() && label.len() <= LONGEST_LABEL && label.iter().all(allowed)
    };
    let mut labels = name.split(|octet| *octet == b'.');
    let last = labels.clone().next_back()?;
    // An IPv4 address, or what some programs take for one.
    let numeric = last.iter().all(u8::is_ascii_digit);
    if name.len() > LONGEST_NAME || numeric || !labels.all(is_label) {
        return None;
    }
    let name = str::from_utf8(name).ok()?;
    Some(name.to_ascii_lowercase().into())
}

#[cfg(test)]
mod tests;
