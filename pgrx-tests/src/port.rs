//! The server's own port, as bytes.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

/// A port that was free a moment ago. Another program is unlikely to take it meanwhile, because the
/// kernel hands out ports in turn.
pub fn free() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port").port()
}

/// Asks for a session as this role and reads the server's first SCRAM message.
pub fn server_first(port: u16, role: &str) -> String {
    let mut server = TcpStream::connect(("127.0.0.1", port)).expect("the server");
    let mut body = 196_608_u32.to_be_bytes().to_vec();
    body.extend_from_slice(format!("user\0{role}\0database\0postgres\0\0").as_bytes());
    server.write_all(&length(&body)).expect("the start-up packet");
    let (kind, body) = read(&mut server);
    assert_eq!((kind, &body[..4]), (b'R', &10_u32.to_be_bytes()[..]), "{role}: SASL is asked for");

    let first = b"n,,n=,r=abc";
    let mut body = b"SCRAM-SHA-256\0".to_vec();
    body.extend_from_slice(&u32::try_from(first.len()).expect("short").to_be_bytes());
    body.extend_from_slice(first);
    server.write_all(b"p").and_then(|()| server.write_all(&length(&body))).expect("client-first");
    let (kind, body) = read(&mut server);
    assert_eq!(
        (kind, &body[..4]),
        (b'R', &11_u32.to_be_bytes()[..]),
        "{role}: the exchange goes on"
    );
    String::from_utf8(body[4..].to_vec()).expect("text")
}

fn length(body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(body.len() + 4).expect("a short message");
    [&len.to_be_bytes(), body].concat()
}

fn read(server: &mut TcpStream) -> (u8, Vec<u8>) {
    let mut head = [0; 5];
    server.read_exact(&mut head).expect("a message");
    let len = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
    let mut body = vec![0; len as usize - 4];
    server.read_exact(&mut body).expect("its body");
    (head[0], body)
}
