//! A service that does what it is asked, and then has no answer to the next question.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::Site;

/// Answers a request line; none is an answer that no service of this version gives.
type Answers = fn(&str) -> Option<Value>;

fn serve(site: &Site, answers: Answers) {
    let listener = UnixListener::bind(site.path("control.sock")).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            thread::spawn(move || answer(&stream, answers));
        }
    });
}

fn answer(stream: &UnixStream, answers: Answers) {
    let mut reader = BufReader::new(stream);
    let mut request = String::new();
    reader.read_line(&mut request).unwrap();
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            break;
        }
    }
    reader.take(length).read_to_end(&mut Vec::new()).unwrap();
    let (status, body) = match answers(request.trim_end_matches(" HTTP/1.1\r\n")) {
        Some(document) => ("200 OK", document.to_string()),
        None => ("500 Internal Server Error", "busy".into()),
    };
    // Whoever asked may have gone.
    let _ = write!(
        &mut &*stream,
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
}

#[test]
fn applies_to_the_end_where_the_status_cannot_be_had_on_the_way() {
    let site = Site::new();
    serve(&site, |request| match request {
        "POST /v1/pairing/payload" => {
            thread::sleep(Duration::from_millis(2500));
            Some(json!({ "receipt": "the.one.receipt" }))
        }
        _ => None,
    });
    let receipt = site.path("receipt");
    let apply = ["apply", "-", "--receipt", receipt.to_str().unwrap()];
    let (code, said, errors) = site.run_with_input(&apply, "a.b.c.d.e");
    assert_eq!((code, errors.as_str()), (0, ""), "{said}");
    assert_eq!(std::fs::read_to_string(receipt).unwrap(), "the.one.receipt\n");
}

#[test]
fn says_that_all_is_erased_where_the_record_of_it_cannot_be_fetched() {
    let site = Site::new();
    serve(&site, |request| match request {
        "POST /v1/deprovision" => Some(json!({ "status": "DEPROVISIONED" })),
        _ => None,
    });
    let record = site.path("record");
    let deprovision = ["deprovision", "--pin-stdin", "--record", record.to_str().unwrap()];
    let (code, said, errors) = site.run_with_input(&deprovision, "314159");
    assert_eq!(code, 1);
    assert_eq!(said, "Status: DEPROVISIONED\n");
    assert!(
        errors.contains("is gone, but the record of its destruction cannot be fetched: ")
            && errors.contains("\nnext: get it with `zmon-provision status --destruction`"),
        "{errors}"
    );
    assert!(!record.exists(), "no empty file is left behind");
}
