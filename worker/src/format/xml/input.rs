//! From a feed's bytes to bounded UTF-8.
//!
//! The encoding is, in this order: the byte order mark, UTF-16 told by the shape of `<?`, the
//! declaration, UTF-8. Labels are those of the WHATWG Encoding Standard, so `ISO-8859-1` is read as
//! windows-1252. A declaration that says UTF-16 in a document which is visibly not is taken as UTF-8:
//! services that build XML in a UTF-16 string and send it as UTF-8 are common.

use std::io::{self, BufRead, Chain, Cursor, Read};

use encoding_rs::{Decoder, DecoderResult, Encoding, UTF_8, UTF_16BE, UTF_16LE};

/// Enough for any declaration.
const HEAD_BYTES: usize = 1024;
const BUFFER_BYTES: usize = 32 << 10;

/// Why the input refuses to go on. Travels through quick-xml inside an [`io::Error`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("a token is too long")]
    TokenTooLong,
    #[error("unknown encoding `{0}`")]
    UnknownEncoding(String),
    #[error("not {0}")]
    WrongEncoding(&'static str),
}

impl From<Refusal> for io::Error {
    fn from(refusal: Refusal) -> Self {
        io::Error::other(refusal)
    }
}

/// A reader of UTF-8 that knows its line and stops when one token grows too long.
///
/// What needs every byte is done by the buffer and not by the token, for tokens are short. UTF-8 is
/// passed on unchecked: quick-xml checks each token.
pub(super) struct Input<R> {
    source: Chain<Cursor<Vec<u8>>, R>,
    decoder: Option<Decoder>,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    finished: bool,
    /// Line on which the buffer begins.
    buffer_line: u64,
    /// Where in the buffer the first forbidden control character stands.
    control_at: Option<usize>,
    control_before_buffer: bool,
    max_token_bytes: usize,
    /// Where the token begins in the buffer; 0 if it began in an earlier one.
    token_start: usize,
    /// Bytes of the token in earlier buffers.
    token_bytes_before: usize,
    /// Lines of the token in earlier buffers.
    token_lines_before: u64,
}

/// A place in the document; the line is counted only when somebody asks.
#[derive(Clone, Copy)]
pub(super) struct Spot<'a> {
    /// Offset in the document as UTF-8.
    pub(super) byte: u64,
    line_before: u64,
    before: &'a [u8],
}

impl Spot<'_> {
    /// The same line at another offset.
    pub(super) fn at(self, byte: u64) -> Self {
        Self { byte, ..self }
    }

    pub(super) fn line(self) -> u64 {
        self.line_before + lines(self.before)
    }
}

impl<R: BufRead> Input<R> {
    /// Reads the head of the document and settles its encoding.
    pub(super) fn open(mut reader: R, max_token_bytes: usize) -> io::Result<Self> {
        let mut head = Vec::with_capacity(HEAD_BYTES);
        reader
            .by_ref()
            .take(HEAD_BYTES as u64)
            .read_to_end(&mut head)?;
        let (encoding, mark_bytes) = encoding_of(&head)?;
        let mut head = Cursor::new(head);
        head.set_position(mark_bytes);
        Ok(Self {
            source: head.chain(reader),
            decoder: (encoding != UTF_8).then(|| encoding.new_decoder_without_bom_handling()),
            buffer: vec![0; BUFFER_BYTES].into_boxed_slice(),
            start: 0,
            end: 0,
            finished: false,
            buffer_line: 1,
            control_at: None,
            control_before_buffer: false,
            max_token_bytes,
            token_start: 0,
            token_bytes_before: 0,
            token_lines_before: 0,
        })
    }

    /// Says that a new token begins here.
    #[inline]
    pub(super) fn begin_token(&mut self) {
        self.token_start = self.start;
        self.token_bytes_before = 0;
        self.token_lines_before = 0;
    }

    /// Where the token begins; its offset is the caller's to know.
    #[inline]
    pub(super) fn spot(&self, byte: u64) -> Spot<'_> {
        Spot {
            byte,
            line_before: self.buffer_line - self.token_lines_before,
            before: &self.buffer[..self.token_start],
        }
    }

    /// Whether more than the limit was read since the token began.
    #[inline]
    pub(super) fn token_too_long(&self) -> bool {
        self.token_bytes_before + self.start - self.token_start > self.max_token_bytes
    }

    /// Whether a control character that XML 1.0 forbids has gone by.
    #[inline]
    pub(super) fn has_control(&self) -> bool {
        self.control_before_buffer || self.control_at.is_some_and(|at| at < self.start)
    }

    #[cold]
    fn refill(&mut self) -> io::Result<()> {
        if self.token_too_long() {
            return Err(Refusal::TokenTooLong.into());
        }
        let left = &self.buffer[..self.end];
        self.buffer_line += lines(left);
        self.token_bytes_before += self.end - self.token_start;
        self.token_lines_before += lines(&left[self.token_start..]);
        self.control_before_buffer |= self.control_at.is_some();
        (self.token_start, self.start, self.end) = (0, 0, 0);
        while self.end == 0 && !self.finished {
            self.end = self.read_source()?;
        }
        self.control_at = first_control(&self.buffer[..self.end]);
        Ok(())
    }

    fn read_source(&mut self) -> io::Result<usize> {
        let Some(decoder) = &mut self.decoder else {
            let read = self.source.read(&mut self.buffer)?;
            self.finished = read == 0;
            return Ok(read);
        };
        let bytes = self.source.fill_buf()?;
        let last = bytes.is_empty();
        let (result, read, written) =
            decoder.decode_to_utf8_without_replacement(bytes, &mut self.buffer, last);
        self.source.consume(read);
        match result {
            DecoderResult::InputEmpty => self.finished = last,
            DecoderResult::OutputFull => {}
            DecoderResult::Malformed(..) => {
                return Err(Refusal::WrongEncoding(decoder.encoding().name()).into());
            }
        }
        Ok(written)
    }
}

impl<R: BufRead> BufRead for Input<R> {
    #[inline]
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.start == self.end {
            self.refill()?;
        }
        Ok(&self.buffer[self.start..self.end])
    }

    #[inline]
    fn consume(&mut self, amount: usize) {
        self.start += amount;
    }
}

impl<R: BufRead> Read for Input<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(into)?;
        self.consume(read);
        Ok(read)
    }
}

fn lines(bytes: &[u8]) -> u64 {
    // Counted in bytes as far as a byte can count, which the compiler turns into wide additions.
    let few = |chunk: &[u8]| {
        chunk
            .iter()
            .fold(0_u8, |n, &byte| n + u8::from(byte == b'\n'))
    };
    bytes.chunks(255).map(|chunk| u64::from(few(chunk))).sum()
}

fn first_control(bytes: &[u8]) -> Option<usize> {
    let is_control = |byte: u8| byte < b' ' && !matches!(byte, b'\t' | b'\n' | b'\r');
    // Without an early exit this runs many bytes at a time, and there is hardly ever one to find.
    if !bytes
        .iter()
        .fold(false, |any, &byte| any | is_control(byte))
    {
        return None;
    }
    bytes.iter().position(|&byte| is_control(byte))
}

/// The document's encoding, and the length of its byte order mark.
fn encoding_of(head: &[u8]) -> Result<(&'static Encoding, u64), Refusal> {
    if let Some((encoding, length)) = Encoding::for_bom(head) {
        return Ok((encoding, length as u64));
    }
    if head.starts_with(b"<\0?\0") {
        return Ok((UTF_16LE, 0));
    }
    if head.starts_with(b"\0<\0?") {
        return Ok((UTF_16BE, 0));
    }
    let Some(label) = declared_encoding(head) else {
        return Ok((UTF_8, 0));
    };
    match Encoding::for_label_no_replacement(label) {
        Some(encoding) if encoding == UTF_16LE || encoding == UTF_16BE => Ok((UTF_8, 0)),
        Some(encoding) => Ok((encoding, 0)),
        None => Err(Refusal::UnknownEncoding(super::shown(label))),
    }
}

/// The value of `encoding` in `<?xml … ?>`, if the document begins with one.
fn declared_encoding(head: &[u8]) -> Option<&[u8]> {
    let declaration = head.strip_prefix(b"<?xml")?;
    let end = find(declaration, b"?>")?;
    let declaration = &declaration[..end];
    let value = &declaration[find(declaration, b"encoding")? + b"encoding".len()..];
    let value = value
        .trim_ascii_start()
        .strip_prefix(b"=")?
        .trim_ascii_start();
    let (&quote, value) = value.split_first()?;
    let end = value.iter().position(|&byte| byte == quote)?;
    Some(&value[..end])
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> io::Result<String> {
        let mut text = String::new();
        Input::open(bytes, 1 << 20)?.read_to_string(&mut text)?;
        Ok(text)
    }

    fn refusal(error: &io::Error) -> &Refusal {
        error.get_ref().unwrap().downcast_ref().unwrap()
    }

    fn utf_16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(bytes).collect()
    }

    const TEXT: &str = "<?xml version='1.0'?><a b='Óssa 🎭'/>";

    #[test]
    fn byte_order_marks_are_taken_off_and_believed() {
        for text in [TEXT, "<a b='Óssa 🎭'/>"] {
            let marked = format!("\u{feff}{text}");
            assert_eq!(read(marked.as_bytes()).unwrap(), text);
            assert_eq!(read(&utf_16(&marked, u16::to_le_bytes)).unwrap(), text);
            assert_eq!(read(&utf_16(&marked, u16::to_be_bytes)).unwrap(), text);
        }
    }

    #[test]
    fn utf_16_without_a_mark_is_told_by_its_declaration() {
        assert_eq!(read(&utf_16(TEXT, u16::to_le_bytes)).unwrap(), TEXT);
        assert_eq!(read(&utf_16(TEXT, u16::to_be_bytes)).unwrap(), TEXT);
    }

    #[test]
    fn declared_single_byte_encodings_are_decoded() {
        for label in ["ISO-8859-1", "windows-1252"] {
            let mut bytes =
                format!("<?xml version='1.0' encoding = \"{label}\"?><a b='").into_bytes();
            bytes.extend_from_slice(b"\xD3ssa'/>");
            assert!(read(&bytes).unwrap().ends_with("<a b='Óssa'/>"), "{label}");
        }
    }

    #[test]
    fn a_mark_outranks_the_declaration() {
        let text = "<?xml version='1.0' encoding='ISO-8859-1'?><a b='Óssa'/>";
        assert_eq!(read(format!("\u{feff}{text}").as_bytes()).unwrap(), text);
    }

    #[test]
    fn utf_8_that_declares_utf_16_is_read_as_utf_8() {
        let text = "<?xml version='1.0' encoding='utf-16'?><a b='Óssa'/>";
        assert_eq!(read(text.as_bytes()).unwrap(), text);
    }

    #[test]
    fn unknown_encodings_are_refused_by_name() {
        let error = read(b"<?xml version='1.0' encoding='klingon'?><a/>").unwrap_err();
        assert_eq!(*refusal(&error), Refusal::UnknownEncoding("klingon".into()));
    }

    #[test]
    fn a_utf_16_document_cut_within_a_character_is_refused() {
        let mut bytes = utf_16(TEXT, u16::to_le_bytes);
        bytes.pop();
        assert_eq!(
            *refusal(&read(&bytes).unwrap_err()),
            Refusal::WrongEncoding("UTF-16LE")
        );
    }

    #[test]
    fn documents_longer_than_the_buffers_are_decoded_whole() {
        let text = format!("{TEXT}{}", "é\n".repeat(20_000));
        let bytes = utf_16(&text, u16::to_be_bytes);
        let mut input = Input::open(&bytes[..], 1 << 20).unwrap();
        let mut read = String::new();
        input.read_to_string(&mut read).unwrap();
        assert_eq!(read, text);
        assert_eq!(input.spot(0).line(), 1);
        input.begin_token();
        assert_eq!(input.spot(0).line(), 20_001);
    }

    #[test]
    fn a_token_past_the_limit_stops_the_reading() {
        let endless = io::BufReader::new(io::repeat(b'x'));
        let mut input = Input::open(endless, 4096).unwrap();
        let mut read = Vec::new();
        let error = input.read_to_end(&mut read).unwrap_err();
        assert_eq!(*refusal(&error), Refusal::TokenTooLong);
        assert!(read.len() <= 4096 + BUFFER_BYTES);
        input.begin_token();
        assert!(input.fill_buf().is_ok());
    }

    #[test]
    fn a_control_character_is_known_once_it_was_read() {
        let feed = [&[b' '; 100][..], b"\x0b", &[b' '; 100_000]].concat();
        let mut input = Input::open(&feed[..], 1 << 20).unwrap();
        io::copy(&mut (&mut input).take(100), &mut io::sink()).unwrap();
        assert!(!input.has_control());
        io::copy(&mut (&mut input).take(1), &mut io::sink()).unwrap();
        assert!(input.has_control());
        io::copy(&mut input, &mut io::sink()).unwrap();
        assert!(input.has_control());
    }
}
