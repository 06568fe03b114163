import { useEffect, useState } from "preact/hooks";
import { keepStream } from "../feed/kept-stream";
import { Text } from "../parts/basics";
import { VirtualTable, type Column } from "../parts/virtual-list";
import { setQuery, useAddress } from "../router";
import { fits, timeText } from "../text";

const KEPT = 5_000, HOUR = 3_600_000;

interface Event {
  number: number;
  at: number;
  kind: string;
  action: string;
  id: string;
  name: string;
  service: string;
  node: string;
  message: string;
}

type Message = ({ type: "event" } & Event) | { type: "warning"; message: string };

export function Events() {
  const filter = useAddress().query.get("q") ?? "";
  const [events, setEvents] = useState<Event[]>([]);
  const [problem, setProblem] = useState("");
  useEffect(() => {
    const waiting: Event[] = [];
    let frame = 0, number = 0;
    const flush = (): void => {
      frame = 0;
      const fresh = waiting.splice(0).reverse();
      setEvents((before) => [...fresh, ...before].slice(0, KEPT));
    };
    const stop = keepStream<Message>(() => `/api/events?since=${Date.now() - HOUR}`, {
      begin: () => setEvents([]),
      message: (found) => {
        if (found.type === "warning") return setProblem(found.message);
        waiting.push({ ...found, number: number++ });
        frame ||= requestAnimationFrame(flush);
      },
      problem: setProblem,
    });
    return () => {
      cancelAnimationFrame(frame);
      stop();
    };
  }, []);
  const rows = events.filter((each) => fits([each.kind, each.action, each.name, each.service, each.node, each.message], filter));
  return (
    <>
      <h1>Events</h1>
      <form class="filters" role="search" onSubmit={(event) => event.preventDefault()}>
        <input type="search" aria-label="Filter" placeholder="Filter" value={filter}
          onInput={(event) => setQuery({ q: event.currentTarget.value })} />
        <span class="quiet">of the last hour, the newest first</span>
      </form>
      {problem && <p role="status" class="problem"><Text of={problem} /></p>}
      <VirtualTable label="Events" rows={rows} columns={COLUMNS} keyOf={(each) => String(each.number)} empty="Nothing has happened." />
    </>
  );
}

const COLUMNS: Column<Event>[] = [
  { title: "Time", width: "6rem", cell: (each) => timeText(each.at) },
  { title: "Kind", width: "6rem", cell: (each) => each.kind },
  { title: "What", width: "10rem", cell: (each) => each.action },
  { title: "Name", width: "2fr", cell: (each) => <Text of={each.name || each.id} /> },
  { title: "Node", width: "8rem", cell: (each) => <Text of={each.node} /> },
  { title: "Why", width: "5fr", cell: (each) => <Text of={each.message} /> },
];
