"""A real Kafka broker on this machine, for tests and for trying things out.

One KRaft node. Needs Java 17 or later and, the first time, Maven. Run
`python -m tests.support.kafka_server start|stop` for one that outlives the command.
"""

import argparse
import atexit
import contextlib
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

from tests.support import kafka_jars
from tests.support.kafka_jars import KafkaUnavailable

START_TIMEOUT = 60.0  # seconds
STOP_TIMEOUT = 20.0  # seconds
JVM_OPTIONS = ["-Xms128m", "-Xmx512m", "-XX:+UseSerialGC"]

# What differs from a production broker: one node, small internal topics, no waiting for others.
PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
log.dirs={data}
auto.create.topics.enable=false
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
# After a kill the node may register again only once its old session is over.
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
# Let a test choose how soon a dead member is noticed; the defaults stay Kafka's.
group.min.session.timeout.ms=1000
group.consumer.min.session.timeout.ms=1000
group.consumer.min.heartbeat.interval.ms=100
# A transaction is aborted when its timeout is over, not up to 10 s later.
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
"""
CLUSTER_ID = "streamjobs-test-broker"  # 22 characters of base64, as Kafka wants it


class KafkaDidNotStart(Exception):
    """Java ran, but no broker answered; the message has the end of its log."""


class KafkaServer:
    """One broker, its data and its log under `directory`.

    The first start chooses a free port where `port` is 0; later starts keep it, and the data, so
    that clients find the same broker again. Use as a context manager, or call `start` and `stop`.
    The broker dies with this process, however that ends, unless `background` is true. It has a
    process group of its own, so Ctrl-C reaches the tests alone.
    """

    def __init__(self, directory: str | Path, port: int = 0, *, background: bool = False) -> None:
        self.directory = Path(directory).absolute()
        self.port = port
        self._background = background
        self._process: subprocess.Popen[bytes] | None = None
        self._watchdog: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap(self) -> str:
        """The address for clients; final once started."""
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int | None:
        """The broker's process id while this object runs one."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start the broker and wait until it takes requests (about 3 s; 6 s after a kill).

        Raises KafkaUnavailable without Java or the jars, KafkaDidNotStart when nothing answers
        within 60 s or the port is taken. Does nothing if it runs.
        """
        if self._process and self._process.poll() is None:
            return
        self.kill()  # what is left of one that died by itself
        java = kafka_jars.command("java")
        classpath = f"{kafka_jars.libraries()}/*"
        config = self._configure()
        if not (self.directory / "data" / "meta.properties").exists():
            self._format(java, classpath, config)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [java, *JVM_OPTIONS, "-cp", classpath, "kafka.Kafka", config],
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        if not self._background:
            self._tie_to_this_process(self._process.pid)
        try:
            self._wait_until_it_answers(self._process)
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """Shut down in order (about 1 s); killed if that takes more than 20 s."""
        if self._process:
            self._process.send_signal(signal.SIGCONT)  # a frozen broker would not hear SIGTERM
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_TIMEOUT)
        self.kill()

    def kill(self) -> None:
        """End the broker at once, as a crash would. `start` brings it back."""
        atexit.unregister(self.stop)
        for process in (self._process, self._watchdog):
            if process:
                process.kill()
                process.wait()
                if process.stdin:
                    process.stdin.close()
        self._process = self._watchdog = None

    def restart(self) -> None:
        """Stop and start, with the same data on the same port."""
        self.stop()
        self.start()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def _log(self) -> Path:
        return self.directory / "kafka.log"

    def _configure(self) -> str:
        self.directory.mkdir(parents=True, exist_ok=True)
        if self.port == 0:
            self.port = _free_port()
        elif not _is_free(self.port):
            raise KafkaDidNotStart(f"{self.bootstrap} is in use by another process")
        config = self.directory / "server.properties"
        config.write_text(
            PROPERTIES.format(
                port=self.port,
                controller_port=_free_port(but_not=self.port),
                data=self.directory / "data",
            )
        )
        return str(config)

    def _format(self, java: str, classpath: str, config: str) -> None:
        tool = [java, "-cp", classpath, "kafka.tools.StorageTool"]
        done = subprocess.run(
            [*tool, "format", "--cluster-id", CLUSTER_ID, "--config", config],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode:
            raise KafkaDidNotStart(f"cannot format {self.directory / 'data'}:\n{done.stdout}")

    def _tie_to_this_process(self, pid: int) -> None:
        atexit.register(self.stop)
        # atexit does not run when a test run is killed. Then the pipe closes, and `read` returns.
        self._watchdog = subprocess.Popen(
            ["/bin/sh", "-c", f"read _; kill -KILL {pid}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _wait_until_it_answers(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while not _answers(self.port):
            if process.poll() is not None or time.monotonic() > deadline:
                log = "\n".join(self._log.read_text(errors="replace").splitlines()[-30:])
                raise KafkaDidNotStart(f"no Kafka on {self.bootstrap}. The end of its log:\n{log}")
            time.sleep(0.05)


def _free_port(but_not: int = 0) -> int:
    # Below the ports that systems give to outgoing connections (32768 or 49152 and up): a client
    # that keeps dialling such a port while the broker is down can connect to itself and hold it.
    choose = random.SystemRandom()  # tests seed the global one
    while True:
        port = choose.randrange(20_000, 32_000)
        if port != but_not and _is_free(port):
            return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the broker does
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _answers(port: int) -> bool:
    """Ask for the cluster's metadata: only a broker that can host partitions lists itself."""
    metadata, version, correlation, no_client, no_topics = 3, 1, 7, -1, 0
    request = struct.pack(">hhihi", metadata, version, correlation, no_client, no_topics)
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as connection:
            connection.sendall(struct.pack(">i", len(request)) + request)
            with connection.makefile("rb") as stream:
                _size, _correlation, brokers = struct.unpack(">iii", stream.read(12))
    except (OSError, struct.error):  # not there yet, or closed before it answered
        return False
    return bool(brokers)


def main() -> None:
    """Start or stop a broker that outlives this command."""
    parser = argparse.ArgumentParser(prog="kafka_server", description=__doc__)
    actions = parser.add_subparsers(dest="action", required=True)
    start = actions.add_parser("start")
    start.add_argument("--port", type=int, default=9092)
    stop = actions.add_parser("stop")
    for action in (start, stop):
        action.add_argument("--directory", type=Path, default=kafka_jars.ROOT / ".kafka")
    options = parser.parse_args()
    pid_file = options.directory / "kafka.pid"
    if options.action == "stop":
        print(_stop_in_background(pid_file))
        return
    try:
        print(_start_in_background(options.directory, options.port, pid_file))
    except (KafkaUnavailable, KafkaDidNotStart) as error:
        sys.exit(str(error))


def _start_in_background(directory: Path, port: int, pid_file: Path) -> str:
    if pid := _running(pid_file):
        return f"Kafka runs already (process {pid})"
    server = KafkaServer(directory, port, background=True)
    server.start()
    pid_file.write_text(str(server.pid))
    return f"Kafka {kafka_jars.version()} on {server.bootstrap}, data and log in {server.directory}"


def _stop_in_background(pid_file: Path) -> str:
    pid = _running(pid_file)
    if pid is None:
        pid_file.unlink(missing_ok=True)
        return "Kafka does not run"
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_TIMEOUT
    while _running(pid_file):
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
    pid_file.unlink()
    return "Kafka stopped"


def _running(pid_file: Path) -> int | None:
    """Read the pid of the broker started here; None if it is gone or the pid is someone else's."""
    try:
        pid = int(pid_file.read_text())
    except (FileNotFoundError, ValueError):
        return None
    listing = subprocess.run(
        ["ps", "-ww", "-o", "stat=,command=", "-p", str(pid)],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    config = str(pid_file.absolute().with_name("server.properties"))
    return pid if config in listing and not listing.startswith("Z") else None


if __name__ == "__main__":
    main()
