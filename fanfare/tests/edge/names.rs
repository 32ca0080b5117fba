//! A name server of a test's own: what `api` means is what the test says.
//!
//! As much of DNS (RFC 1035) as a question for the addresses of one name takes.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use tokio::net::UdpSocket;

const HEADER: usize = 12;
const NO_SUCH_NAME: u8 = 3;

#[derive(Clone)]
pub(crate) struct Names {
    pub(crate) address: SocketAddr,
    addresses: Arc<Mutex<Vec<Ipv4Addr>>>,
}

impl Names {
    /// Ends with the test's runtime.
    pub(crate) async fn serve(addresses: &[Ipv4Addr]) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let names = Self {
            address: socket.local_addr().unwrap(),
            addresses: Arc::new(Mutex::new(addresses.to_vec())),
        };
        let answering = names.clone();
        tokio::spawn(async move {
            let mut question = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut question).await {
                let answer = answering.answer(&question[..length]);
                // Who is gone asks no more.
                let _ = socket.send_to(&answer, from).await;
            }
        });
        names
    }

    /// What the name means from now on; nothing: there is no such name.
    pub(crate) fn set(&self, addresses: &[Ipv4Addr]) {
        *self.addresses.lock().unwrap() = addresses.to_vec();
    }

    /// Whether it means something.
    pub(crate) fn are_known(&self) -> bool {
        !self.addresses.lock().unwrap().is_empty()
    }

    /// Any question is taken for one for the addresses of `api`.
    fn answer(&self, question: &[u8]) -> Vec<u8> {
        let addresses = self.addresses.lock().unwrap();
        let end_of_name = question[HEADER..].iter().position(|byte| *byte == 0);
        let end = HEADER + end_of_name.unwrap() + 1 + 4;
        let code = if addresses.is_empty() {
            NO_SUCH_NAME
        } else {
            0
        };
        let mut answer = question[..2].to_vec();
        // An answer, recursion desired and available; one question.
        answer.extend([0x81, 0x80 | code, 0, 1]);
        answer.extend(u16::try_from(addresses.len()).unwrap().to_be_bytes());
        answer.extend([0, 0, 0, 0]);
        answer.extend(&question[HEADER..end]);
        for address in addresses.iter() {
            // The name in question; A, IN; an hour, which nginx is told to leave aside; four bytes.
            answer.extend([0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0x0e, 0x10, 0, 4]);
            answer.extend(address.octets());
        }
        answer
    }
}
