"""`python -m examples.flights`: demo, enqueue and check."""

import argparse
import sys

from examples.flights import app, enqueue, read_flights, record_flight, recorder


def main() -> None:
    """Run a command; the demo if there is none."""
    options = _parser().parse_args()
    sys.exit(0 if options.command(options) else 1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m examples.flights")
    parser.set_defaults(command=_demo, flights=None, one_by_one=2_000)
    commands = parser.add_subparsers()
    demo = commands.add_parser("demo", help="1 against 64 virtual partitions, no Kafka needed")
    demo.add_argument("--one-by-one", type=int, default=2_000, help="flights of the first part")
    demo.set_defaults(command=_demo)
    put = commands.add_parser("enqueue", help="write a job for each flight to a Kafka")
    put.add_argument("--broker", metavar="HOST:PORT")
    put.add_argument("--partitions", type=int, help="of the topic, if it is made now")
    put.add_argument("--skip", type=int, default=0, help="leave out the first so many")
    put.set_defaults(command=_enqueue)
    look = commands.add_parser("check", help="compare what was done with the file")
    look.set_defaults(command=_check)
    for each in (demo, put, look):
        each.add_argument("--flights", type=int, help="only the first so many")
    return parser


def _demo(options: argparse.Namespace) -> bool:
    from examples import flight_demo

    try:
        return flight_demo.run(options.flights, options.one_by_one)
    except KeyboardInterrupt:
        print("Stopped by a signal.")
        return True


def _enqueue(options: argparse.Namespace) -> bool:
    app.override(broker=options.broker, partitions=options.partitions)
    flights = read_flights(options.flights)[options.skip :]
    for receipt in enqueue(record_flight, flights):
        receipt.wait()
    app.close()
    print(f"{len(flights):,} jobs on {record_flight.topic!r}")
    return True


def _check(options: argparse.Namespace) -> bool:
    from examples.flight_check import check

    report = check(read_flights(options.flights), recorder)
    for violation in report.violations:
        print("out of order:", violation)
    print(
        f"{report.done:,} flights done, {len(report.missing):,} missing; "
        f"{len(report.violations):,} order violations; {report.replays:,} run twice; "
        f"SQLite {'equals' if report.rows_agree else 'DIFFERS FROM'} the file"
    )
    return report.complete
