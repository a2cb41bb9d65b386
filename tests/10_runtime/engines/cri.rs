//! A client of the Container Runtime Interface, by which a kubelet drives containerd.
//!
//! A call of gRPC is an HTTP/2 request whose body is a byte 0, the length of the message
//! as 4 bytes, and the message; the result is in the trailers:
//! <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>.

#[path = "cri/messages.rs"]
pub mod messages;

use std::path::Path;

use h2::client::{SendRequest, handshake};
use http::{HeaderMap, Request};
use kiste_tests::timeout;
use prost::Message;
use prost::bytes::Bytes;
use tokio::net::UnixStream;
use tokio::runtime::{Builder, Runtime};

/// A connection to a CRI server.
pub struct Client {
    runtime: Runtime,
    requests: SendRequest<Bytes>,
}

/// A message from the server that a call has failed.
pub type Refusal = String;

impl Client {
    /// Connects to a server's socket.
    pub fn connect(socket: &Path) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let requests = runtime.block_on(async {
            let stream = UnixStream::connect(socket).await.expect("connect");
            let (requests, connection) = handshake(stream).await.expect("HTTP/2");
            tokio::spawn(connection);
            requests
        });
        Client { runtime, requests }
    }

    /// Calls a method: `RuntimeService/Version`.
    pub fn call<Answer: Message + Default>(
        &self,
        method: &str,
        request: &impl Message,
    ) -> Result<Answer, Refusal> {
        let call = exchange(self.requests.clone(), method, frame(request));
        let answer = self
            .runtime
            .block_on(async { tokio::time::timeout(timeout(), call).await });
        let body = answer.unwrap_or_else(|_| panic!("{method} hung"))?;
        Ok(Answer::decode(&body[5..]).expect("a message of this type"))
    }
}

/// Composes the body of a request.
fn frame(message: &impl Message) -> Bytes {
    let message = message.encode_to_vec();
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[0], &length[..], &message].concat().into()
}

/// Sends a request and returns the body of the answer.
async fn exchange(
    requests: SendRequest<Bytes>,
    method: &str,
    body: Bytes,
) -> Result<Vec<u8>, Refusal> {
    let request = Request::post(format!("http://localhost/runtime.v1.{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .unwrap();
    let mut requests = requests.ready().await.expect("the connection is open");
    let (answer, mut sender) = requests.send_request(request, false).expect("send");
    sender.send_data(body, true).expect("send the message");
    let (head, mut stream) = answer.await.expect("an answer").into_parts();
    let mut bytes = Vec::new();
    while let Some(chunk) = stream.data().await {
        let chunk = chunk.expect("the rest of the answer");
        stream.flow_control().release_capacity(chunk.len()).unwrap();
        bytes.extend(chunk);
    }
    // An answer without a message has its trailers in the place of headers.
    let trailers = stream.trailers().await.expect("trailers").unwrap_or(head.headers);
    match value(&trailers, "grpc-status") {
        "0" => Ok(bytes),
        _ => Err(value(&trailers, "grpc-message").into()),
    }
}

fn value<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}
