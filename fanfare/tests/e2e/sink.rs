//! A receiver of telemetry that takes everything and keeps every byte.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// OTLP over HTTP, as far as a sender can tell.
#[derive(Clone)]
pub(crate) struct Sink {
    pub(crate) url: String,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Default)]
struct Taken {
    heads: Vec<u8>,
    bodies: Vec<u8>,
}

impl Sink {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let sink = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            taken: Arc::default(),
        };
        let taking = sink.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let taking = taking.clone();
                // A sender that leaves amid a request is none of its business.
                thread::spawn(move || stream.and_then(|stream| taking.serve(stream)));
            }
        });
        sink
    }

    fn serve(&self, stream: TcpStream) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream);
        loop {
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                if reader.read_line(&mut head)? == 0 {
                    return Ok(());
                }
            }
            let mut headers = head.lines().filter_map(|line| line.split_once(": "));
            let length = headers.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
            let length = length.map_or(0, |(_, length)| length.parse().unwrap());
            let mut body = vec![0; length];
            reader.read_exact(&mut body)?;
            {
                let mut taken = self.taken.lock().unwrap();
                taken.heads.extend(head.into_bytes());
                taken.bodies.extend(body);
            }
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
            reader.get_mut().write_all(answer)?;
        }
    }

    /// What senders showed to get in.
    pub(crate) fn heads(&self) -> String {
        text(&self.taken.lock().unwrap().heads)
    }

    /// What they sent.
    pub(crate) fn bodies(&self) -> String {
        text(&self.taken.lock().unwrap().bodies)
    }
}

/// Texts in protobuf stand there as they are.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
