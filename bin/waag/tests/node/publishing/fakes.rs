//! Witnesses that say anything: by the first element of their path.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

/// Answers whoever asks.
pub(super) fn witnesses(listener: TcpListener) {
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || answer_one(stream));
        }
    });
}

fn answer_one(mut stream: TcpStream) {
    let mut bytes = Vec::new();
    let mut piece = [0; 4_096];
    loop {
        let Ok(read @ 1..) = stream.read(&mut piece) else { return };
        bytes.extend_from_slice(&piece[..read]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let head = head.to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        if body.len() < length.parse::<usize>().unwrap() {
            continue;
        }
        assert!(body.starts_with("old 0\n\n"), "{body}");
        let behaviour = head.split('/').nth(1).unwrap().to_owned();
        let answer = |status: &str, media: &str, body: &str| {
            format!(
                "HTTP/1.1 {status}\r\ncontent-type: {media}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            )
        };
        let answer = match behaviour.as_str() {
            "unknown" => answer("404 Not Found", "text/plain", ""),
            "unsigned" => answer("403 Forbidden", "text/plain", ""),
            "malformed" => answer("400 Bad Request", "text/plain", ""),
            "larger" => answer("409 Conflict", "text/x.tlog.size", "1000000\n"),
            "same" => answer("409 Conflict", "text/x.tlog.size", "0\n"),
            "sizeless" => answer("409 Conflict", "text/plain", "7\n"),
            "refused" => answer("422 Unprocessable Entity", "text/plain", ""),
            "moved" => "HTTP/1.1 307 Temporary Redirect\r\nlocation: /unknown/add-checkpoint\r\ncontent-length: 0\r\n\r\n".to_owned(),
            "garbage" => "\u{0}\u{1} no HTTP at all\r\n\r\n".to_owned(),
            "false" => answer("200 OK", "text/plain", "\u{2014} false.example AAAAAAAAAAAAAAAAAAAA\n"),
            "endless" => format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "x".repeat(100_000)),
            "slow" => {
                std::thread::sleep(Duration::from_secs(20));
                return;
            }
            other => panic!("{other}"),
        };
        drop(stream.write_all(answer.as_bytes()));
        return;
    }
}
