"""Stands where the runner stands and misbehaves on request: the faults that a real backend only shows by chance."""

import argparse
import json
import os
import signal
import subprocess
import sys
import time


def result(job, **more):
    return {"protocol": "infermatrix.result/1", "trial": job["trial"], "task": "trial", "complete": True, "failure": None,
            "cells": [], **more}


def eat(megabytes):
    held = []
    for _ in range(megabytes):
        held.append(b"x" * (1 << 20))
    return held


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--job")
    parser.add_argument("--job-json")
    parser.add_argument("--out", required=True)
    options = parser.parse_args()
    job = json.loads(options.job_json) if options.job_json else json.load(open(options.job))
    path = os.path.join(options.out, "result.json")

    def write(text):
        with open(path, "w") as sink:
            sink.write(text)

    with open(os.path.join(options.out, "events.jsonl"), "w") as events:
        events.write(json.dumps({"t": 0.1, "phase": "load", "cell": None, "note": None}) + "\n")
    fault = job["fault"]
    if fault == "none":
        write(json.dumps(result(job, environment={"affinity": sorted(os.sched_getaffinity(0)), "uid": os.getuid()})))
    elif fault == "oom":
        eat(4096)
    elif fault == "oom_in_child":
        subprocess.run([sys.executable, "-c", "x = [b'x' * (1 << 20) for _ in range(4096)]"], check=False)
        write(json.dumps(result(job)))
    elif fault == "segfault":
        os.kill(os.getpid(), signal.SIGSEGV)
    elif fault == "exit_3":
        print("cannot go on: the reason is here", flush=True)
        sys.exit(3)
    elif fault == "silent_hang":
        time.sleep(600)
    elif fault == "chatty_hang":
        while True:
            print("still alive", flush=True)
            time.sleep(0.01)
    elif fault == "ignores_sigterm":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            time.sleep(1)
    elif fault == "leaves_a_child":
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        write(json.dumps(result(job)))
    elif fault == "truncated":
        write(json.dumps(result(job))[:40])
    elif fault == "nan":
        write(json.dumps(result(job, phases={"load_ms": float("nan")})))
    elif fault == "infinite":
        write(json.dumps(result(job)).replace('"cells": []', '"cells": [], "phases": {"load_ms": 1e999}'))
    elif fault == "wrong_schema":
        write(json.dumps({"protocol": "somebody.else/7"}))
    elif fault == "other_trial":
        write(json.dumps({**result(job), "trial": "t-forged"}))
    elif fault == "deep":
        write("[" * 100_000)
    elif fault == "log_1gb":
        line = b"x" * (1 << 20) + b"\n"
        for _ in range(1024):
            os.write(1, line)
        write(json.dumps(result(job)))
    elif fault == "huge_output":
        for number in range(32):
            with open(os.path.join(options.out, f"junk{number}"), "wb") as sink:
                sink.write(bytes(1 << 20))
        write(json.dumps(result(job)))
    elif fault == "huge_file":
        with open(os.path.join(options.out, "junk"), "wb") as sink:
            sink.write(bytes(64 << 20))
        write(json.dumps(result(job)))
    elif fault == "link":
        os.symlink("/etc/passwd", path)
    elif fault == "shows_gpus":
        write(json.dumps(result(job, environment={"visible": os.environ.get("CUDA_VISIBLE_DEVICES")})))
    elif fault == "no_result":
        pass
    elif fault == "probe_sandbox":
        write(json.dumps(result(job, environment=sandbox())))


def sandbox():
    """What this process may do, told by trying."""
    found = {"uid": os.getuid(), "affinity": sorted(os.sched_getaffinity(0))}
    try:
        open("/etc/written", "w").close()
        found["root_writable"] = True
    except OSError:
        found["root_writable"] = False
    found["interfaces"] = sorted(os.listdir("/sys/class/net"))
    with open("/proc/self/status") as status:
        fields = dict(line.split(":", 1) for line in status)
    found["capabilities"] = fields["CapEff"].strip()
    found["no_new_privileges"] = fields["NoNewPrivs"].strip()
    try:
        open("/mx/in/0/hello.txt", "a").close()
        found["input_writable"] = True
    except OSError:
        found["input_writable"] = False
    with open("/mx/in/0/hello.txt") as source:
        found["input"] = source.read()
    return found


main()
