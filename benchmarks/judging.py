"""Judging 805 pairs in both orders over HTTP, against the same requests sent by a plain load generator: the share of its throughput.

python benchmarks/judging.py [--pairs 805] [--concurrency 16] [--seconds 0.1]
The server is a process of its own on the loopback that takes --seconds for each reply, however many are under way.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import socket
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import openai

from xlift.harness.config.judge import JudgeSettings
from xlift.harness.judging.judges import open_judge
from xlift.harness.judging.replies import judge_pairs
from xlift.tasks.judge import ORDERS, Pair, build_chat

REPLY = {
    "id": "1", "object": "chat.completion", "created": 0, "model": "judge",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "m"}, "logprobs": {"content": [
        {"token": "m", "logprob": -0.1, "bytes": None, "top_logprobs": [
            {"token": "m", "logprob": -0.1, "bytes": None}, {"token": "M", "logprob": -2.4, "bytes": None}]}]}}],
    "usage": {"prompt_tokens": 500, "completion_tokens": 1, "total_tokens": 501},
}  # fmt: skip


def serve(listening: socket.socket, seconds: float) -> None:
    data = json.dumps(REPLY).encode()
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n".encode()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                request = (await reader.readuntil(b"\r\n\r\n")).lower()
                await reader.readexactly(int(request.split(b"content-length:")[1].split(b"\r\n")[0]))
                await asyncio.sleep(seconds)
                writer.write(head + data)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def run() -> None:
        async with await asyncio.start_server(answer, sock=listening) as server:
            await server.serve_forever()

    asyncio.run(run())


def send_plainly(url: str, pairs: list[Pair], concurrency: int) -> float:
    """Requests per second of a pool of threads that does nothing but send."""
    chats = [build_chat("weighted", pair, order) for pair in pairs for order in ORDERS]
    client = openai.OpenAI(base_url=url, api_key="none")

    def send(chat: object) -> None:
        client.chat.completions.create(
            model="judge", messages=chat, max_tokens=1, temperature=0, top_p=1, seed=0, logprobs=True, top_logprobs=5
        )  # type: ignore[call-overload]

    started = time.perf_counter()
    with ThreadPoolExecutor(concurrency) as pool:
        list(pool.map(send, chats))
    return len(chats) / (time.perf_counter() - started)


def judge(url: str, pairs: list[Pair], concurrency: int) -> float:
    """Comparisons per second, keeping of replies included."""
    opened = open_judge(JudgeSettings(judge=url, model="judge", concurrency=concurrency))
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        judge_pairs(opened, "weighted", pairs, Path(folder))
        return 2 * len(pairs) / (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=805)
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=0.1)
    options = parser.parse_args()
    os.environ["OPENAI_API_KEY"] = "none"
    listening = socket.create_server(("127.0.0.1", 0), backlog=256)
    url = f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
    server = multiprocessing.Process(target=serve, args=(listening, options.seconds), daemon=True)
    server.start()
    words = "one two three four five six seven eight nine ten " * 20
    pairs = [Pair(str(n), "en", f"Instruction {n}", f"{words}{n}", words) for n in range(options.pairs)]
    print(f"bound: {options.concurrency / options.seconds:.0f} requests a second")
    for run in (send_plainly, judge):
        run(url, pairs[: options.concurrency], options.concurrency)  # what is loaded on first use is not the throughput
    for _ in range(3):
        plain, ours = (run(url, pairs, options.concurrency) for run in (send_plainly, judge))
        print(f"load generator {plain:.1f} a second, judging {ours:.1f} a second: {ours / plain:.0%}")
    server.terminate()


if __name__ == "__main__":
    main()
