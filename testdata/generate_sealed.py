#!/usr/bin/env python3
"""Independent test vectors for heads, padding and receipts of sealed bodies (docs: protocol, "Sealed bodies").

Written from the specification alone, with no code in common with the Rust implementation, so that an error on either
side shows as a mismatch.  Usage: generate_sealed.py SEED OUTDIR  (the same seed gives the same files, but for the
signature in receipt.json, which is made with a fresh key).  Needs the PyPI package `cryptography`.
"""
import base64, hashlib, hmac, json, math, os, struct, sys

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

CAPACITY = 65_534
FLOOR = 256


class Stream:
    """Deterministic bytes: SHA-256 in counter mode over the seed."""

    def __init__(self, seed: str):
        self.seed, self.counter = seed.encode(), 0

    def take(self, n: int) -> bytes:
        out = b""
        while len(out) < n:
            out += hashlib.sha256(self.seed + struct.pack(">Q", self.counter)).digest()
            self.counter += 1
        return out[:n]

    def below(self, n: int) -> int:
        return int.from_bytes(self.take(8), "big") % n


def canonical(value) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


# --- keys and segments --------------------------------------------------------------------------

def keys(secret: bytes, request_salt: bytes, response_salt: bytes):
    prk = hmac.new(request_salt, secret, hashlib.sha256).digest()
    expand = lambda info: hmac.new(prk, info + b"\x01", hashlib.sha256).digest()
    return (expand(b"privatemode oae request key\0"), expand(b"privatemode oae response key\0" + response_salt))


class Sealer:
    """One direction: runs of data to bytes on the wire."""

    def __init__(self, key: bytes, r: Stream):
        self.aead, self.r, self.number = AESGCM(key), r, 0

    def segment(self, data: bytes, padding: int, last: bool) -> bytes:
        flag, nonce = bytes([last]), self.r.take(12)
        text = data + bytes(padding) + struct.pack(">H", padding)
        sealed = flag + nonce + self.aead.encrypt(nonce, text, struct.pack(">I", self.number) + flag)
        self.number += 1
        return struct.pack(">I", len(sealed)) + sealed

    def run(self, data: bytes, padded: int, last: bool) -> bytes:
        out, parts = b"", []
        while True:
            size = min(padded, CAPACITY)
            parts.append((data[:size], size - len(data[:size])))
            data, padded = data[size:], padded - size
            if padded == 0:
                break
        for i, (part, padding) in enumerate(parts):
            out += self.segment(part, padding, last and i == len(parts) - 1)
        return out


# --- padding --------------------------------------------------------------------------------------

def padme(length: int) -> int:
    exponent = math.floor(math.log2(length))
    kept = math.floor(math.log2(exponent)) + 1
    step = 2 ** (exponent - kept)
    return math.ceil(length / step) * step


def padded(mode: str, length: int) -> int:
    if mode == "off":
        return length
    bucket = math.ceil(padme(max(length, FLOOR)) / FLOOR) * FLOOR
    if mode == "bucket":
        return bucket
    data = int(mode.split("/")[1]) - 2
    return -(-bucket // data) * data


def padding_vectors(r):
    out = []
    lengths = [0, 1, 255, 256, 257, 300, 511, 513, 1000, 4097, 65_000, 65_534, 65_535, 70_000, 131_068, 131_069, 1_000_000, 134_217_728]
    lengths += [r.below(1 << bits) for bits in range(8, 28)]
    for mode in ("off", "bucket", "constant/1024/50", "constant/256/20", "constant/65536/1000"):
        for length in lengths:
            total = padded(mode, length)
            segments = max(1, -(-total // CAPACITY))
            out.append({"mode": mode, "length": length, "padded": total, "wire": total + 35 * segments, "tokens": -(-total // 4)})
    return out


# --- heads and whole exchanges --------------------------------------------------------------------

def request_head(r, mode, receipt, model, stream=False):
    head = {
        "v": 1, "method": "POST", "path": "/v1/chat/completions", "content_type": "application/json", "model": model,
        "stream": stream, "request_id": r.take(16).hex(), "sent_ms": 1_760_000_000_000 + r.below(10**9),
        "manifest": r.take(32).hex(), "padding": mode, "receipt": receipt,
    }
    if stream:
        head |= {"max_tokens": 512, "n": 1, "shard_key": r.take(8).hex() + "-aB+/",
                 "ocsp_policy": "rules=allow-good; revocation-time-not-before=1760000000", "accept": "text/event-stream"}
    return head


def framed(head) -> bytes:
    text = canonical(head).encode()
    return struct.pack(">I", len(text)) + text


def exchange(r, mode, receipt, body, deltas, status=200):
    secret, request_salt, response_salt = r.take(32), r.take(32), r.take(32)
    request_key, response_key = keys(secret, request_salt, response_salt)
    head = request_head(r, mode, receipt, "gpt-oss-120b", stream=len(deltas) > 1)
    text = framed(head) + body
    sealed_request = Sealer(request_key, r).run(text, padded(mode, len(text)), True)

    response_head = {"v": 1, "status": status, "content_type": "text/event-stream" if len(deltas) > 1 else "application/json",
                     "request_id": head["request_id"]}
    if status == 409:
        response_head |= {"refusal": "before_start", "server_ms": head["sent_ms"] + 5, "not_before_ms": head["sent_ms"] + 120_000}
    usage = {"prompt_tokens": 11, "completion_tokens": len(deltas), "total_tokens": 11 + len(deltas), "cached_tokens": 0, "audio_seconds": 0}
    if len(deltas) > 1:  # a figure that stands only where there is something to count
        usage |= {"audio_bytes": 1 + sum(map(len, deltas))}
    trailer = {"v": 1, "outcome": "complete", "usage": usage}
    sealer = Sealer(response_key, r)
    sealed_body = b""
    if mode.startswith("constant"):
        size = int(mode.split("/")[1]) - 2
        first = framed(response_head)
        sealed_body += sealer.run(first, padded(mode, len(first)), False)
        waiting = b"".join(deltas)
        while waiting:
            part, waiting = waiting[:size], waiting[size:]
            sealed_body += sealer.segment(part, size - len(part), False)
    else:
        first = framed(response_head)
        for delta in deltas or [b""]:
            sealed_body += sealer.run(first + delta, padded(mode, len(first + delta)), False)
            first = b""
    end = canonical(trailer).encode()
    sealed_response = sealed_body + sealer.run(end, padded(mode, len(end)), True)
    return {
        "mode": mode, "secret": secret.hex(),
        "request_header": ":" + base64.b64encode(request_salt).decode() + ":",
        "response_header": ":" + base64.b64encode(response_salt).decode() + ":",
        "request_head": canonical(head), "request_body": body.decode(), "request": sealed_request.hex(),
        "response_head": canonical(response_head), "deltas": [d.decode() for d in deltas], "trailer": canonical(trailer),
        "response": sealed_response.hex(),
        "exchange": hashlib.sha256(request_salt).hexdigest(),
        "request_digest": hashlib.sha256(request_salt + sealed_request).hexdigest(),
        "response_digest": hashlib.sha256(response_salt + sealed_body).hexdigest(),
    }


def malformed_heads(r):
    """Each is canonical JSON but for the one fault that it is named after."""
    good = request_head(r, "bucket", False, "m")
    out = {"good": canonical(good)}
    change = lambda **members: canonical(good | members)
    out["unknown_member"] = change(zzz=1)
    out["missing_member"] = canonical({k: v for k, v in good.items() if k != "manifest"})
    out["version"] = change(v=2)
    out["null_member"] = change(n=None)
    out["fraction"] = change(n=1.5)
    out["negative"] = change(n=-1)
    out["white_space"] = canonical(good).replace(",", ", ", 1)
    out["order"] = json.dumps(dict(sorted(good.items(), reverse=True)), separators=(",", ":"))
    out["twice"] = canonical(good)[:-1] + ',"v":1}'
    out["escape"] = canonical(good).replace("POST", "\\u0050OST")
    out["behind"] = canonical(good) + " "
    out["method"] = change(method="post")
    out["path"] = change(path="v1")
    out["model"] = change(model="a\nb")
    out["accept"] = change(accept="a/b\r\nx: y")
    out["request_id_short"] = change(request_id="00" * 15)
    out["request_id_case"] = change(request_id="AB" * 16)
    out["manifest"] = change(manifest="xx" * 32)
    out["padding"] = change(padding="constant/01024/50")
    out["not_an_object"] = "[]"
    out["empty"] = ""
    return out


def head_vectors(r):
    deltas = [("data: {\"delta\":\"%s\"}\n\n" % word).encode() for word in ("", "Grüße", "wörld " * 9, "\\n")]
    body = '{"model":"gpt-oss-120b","messages":[{"role":"user","content":"Grüße, 世界"}]}'.encode()
    exchanges = [exchange(r, mode, receipt, text, answer, status)
                 for mode in ("off", "bucket", "constant/256/20")
                 for receipt, text, answer, status in ((False, body, [b'{"id":"1"}'], 200), (True, body, deltas, 200), (True, b"", [b'{"error":{}}'], 409))]
    return {"exchanges": exchanges, "heads": malformed_heads(r)}


# --- receipts -------------------------------------------------------------------------------------

def receipt_vectors(r):
    out = []
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    usage = {"prompt_tokens": 7, "completion_tokens": 9, "total_tokens": 16, "cached_tokens": 4, "audio_seconds": 0}
    # An answer with all there is to say, one that failed, and a refusal before the whole request was read.
    for status, outcome in ((200, "complete"), (500, "failed"), (413, "complete")):
        full = status == 200
        salt, request, response = r.take(32), r.take(64), r.take(64)
        receipt = {
            "type": "privatemode receipt", "v": 1, "request_id": r.take(16).hex(), "exchange": hashlib.sha256(salt).hexdigest(),
            "response_digest": hashlib.sha256(r.take(32) + response).hexdigest(), "status": status, "outcome": outcome,
            "model": "gpt-oss-120b", "manifest": r.take(32).hex(), "sampling": {"temperature": "0.20", "stop": "[\"\\u00fc\",\"ü\"]"} if full else {},
            "received_ms": 1_760_000_000_001, "started_ms": 1_760_000_000_050, "finished_ms": 1_760_000_001_000,
            "downgrades": ["ocsp unknown allowed", "simulated"] if full else [], "certificates": [base64.b64encode(r.take(300)).decode() for _ in range(2)],
        }
        if full:
            receipt |= {"usage": usage, "model_root": r.take(32).hex(), "engine_image": r.take(32).hex()}
        if status != 413:
            receipt["request_digest"] = hashlib.sha256(salt + request).hexdigest()
        text = canonical(receipt)
        signature = key.sign(text.encode(), ec.ECDSA(hashes.SHA256()))
        signed = canonical({"receipt": receipt, "signature": base64.b64encode(signature).decode()})
        out.append({"public_key": public.hex(), "to_be_signed": text, "signed": signed})
    return out


def main():
    seed, outdir = sys.argv[1], sys.argv[2]
    os.makedirs(outdir, exist_ok=True)
    for name, make in (("head", head_vectors), ("padding", padding_vectors), ("receipt", receipt_vectors)):
        with open(os.path.join(outdir, f"{name}.json"), "w") as f:
            json.dump(make(Stream(f"{seed}/{name}")), f, indent=1, ensure_ascii=False)
            f.write("\n")


main()
