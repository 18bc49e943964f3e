//! An engine that answers at once.

use std::convert::Infallible;

use anyhow::Result;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

const MODELS: &str =
    r#"{"object":"list","data":[{"id":"instant","object":"model","created":0,"owned_by":"bench"}]}"#;
const ANSWER: &str = r#"{"id":"chatcmpl-1","object":"chat.completion","created":0,"model":"instant","choices":[{"index":0,"message":{"role":"assistant","content":"At once."},"finish_reason":"stop"}],"usage":{"prompt_tokens":10,"completion_tokens":3,"total_tokens":13}}"#;

/// Serves on a free port of loopback; returns its address.
pub(crate) async fn start() -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            tokio::spawn(serve(stream));
        }
    });
    Ok(address)
}

/// HTTP/1.1 as far as the worker speaks it: a head, a body of a known length or in chunks.
async fn serve(stream: TcpStream) -> Result<Infallible> {
    let mut stream = BufReader::new(stream);
    loop {
        let (mut line, mut length, mut chunked) = (String::new(), 0_u64, false);
        stream.read_line(&mut line).await?;
        anyhow::ensure!(!line.is_empty(), "the connection ended");
        let models = line.contains("/models");
        loop {
            let mut header = String::new();
            stream.read_line(&mut header).await?;
            let header = header.trim().to_ascii_lowercase();
            if header.is_empty() {
                break;
            }
            if let Some(value) = header.strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
            chunked |= header.starts_with("transfer-encoding:") && header.contains("chunked");
        }
        if chunked {
            loop {
                let mut size = String::new();
                stream.read_line(&mut size).await?;
                let size = u64::from_str_radix(size.trim(), 16)?;
                tokio::io::copy(&mut (&mut stream).take(size + 2), &mut tokio::io::sink()).await?;
                if size == 0 {
                    break;
                }
            }
        } else {
            tokio::io::copy(&mut (&mut stream).take(length), &mut tokio::io::sink()).await?;
        }
        let body = if models { MODELS } else { ANSWER };
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.get_mut().write_all(answer.as_bytes()).await?;
    }
}
