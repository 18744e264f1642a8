"""Clients as they come, by TLS on both sides: ports of HTTP and gRPC, authority, own certificate and key are in sys.argv."""

import ssl
import sys

import grpc
import openai
import tritonclient.grpc as triton

HTTP, GRPC, CA, CERT, KEY = sys.argv[1:]
ASKED = {"model": "parrot", "messages": [{"role": "user", "content": "one two"}]}


def chat(verify):
    with openai.OpenAI(
        base_url=f"https://localhost:{HTTP}/v1",
        api_key="any",
        max_retries=0,
        http_client=openai.DefaultHttpxClient(verify=verify),
    ) as client:
        whole = client.chat.completions.create(**ASKED).choices[0].message.content
        chunks = client.chat.completions.create(**ASKED, stream=True)
        pieces = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert whole == pieces and "one" in whole, (whole, pieces)


def fails(kind, call):
    try:
        call()
    except kind as error:
        return error
    raise AssertionError("it should fail")


known = ssl.create_default_context(cafile=CA)
known.load_cert_chain(CERT, KEY)
chat(known)
fails(openai.APIConnectionError, lambda: chat(ssl.create_default_context(cafile=CA)))
fails(openai.APIConnectionError, lambda: chat(ssl.create_default_context()))
print("openai is as expected")

url = f"localhost:{GRPC}"
with triton.InferenceServerClient(url, ssl=True, root_certificates=CA, private_key=KEY, certificate_chain=CERT) as client:
    assert client.is_server_ready()
    assert client.get_server_metadata().name == "corn"
with triton.InferenceServerClient(url, ssl=True, root_certificates=CA) as client:
    fails(triton.InferenceServerException, lambda: client.is_server_ready(client_timeout=5))
print("tritonclient is as expected")

read = lambda path: open(path, "rb").read()
credentials = grpc.ssl_channel_credentials(read(CA), read(KEY), read(CERT))
with grpc.secure_channel(url, credentials) as channel:
    check = channel.unary_unary("/grpc.health.v1.Health/Check", lambda it: it, lambda it: it)
    assert check(b"", timeout=10) == b"\x08\x01"
print("all as expected")
