import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { keepStream } from "../feed/kept-stream";
import { CommandLine, Text } from "../parts/basics";
import { count, fits, timeText, visibleLine } from "../text";

const KEPT = 20_000, SHOWN = 2_000;

interface Line {
  number: number;
  task: string;
  at: number;
  isError: boolean;
  text: string;
}

type Message =
  | { type: "source"; id: string; name: string; node: string }
  | { type: "lines"; lines: [string, number, number, string][] }
  | { type: "warning"; message: string };

/** The newest lines of all tasks together, as they come. */
export function Logs({ query, line }: { query: string; line: string }) {
  const [follow, setFollow] = useState(true);
  const [filter, setFilter] = useState("");
  const [version, setVersion] = useState(0);
  const [notices, setNotices] = useState<string[]>([]);
  const lines = useRef<Line[]>([]), names = useRef(new Map<string, string>());
  const end = useRef<HTMLDivElement>(null);

  useEffect(() => {
    if (!follow) return;
    const begin = (): void => {
      lines.current = [];
      setNotices([]);
    };
    begin();
    let number = 0, frame = 0;
    const draw = (): void => {
      frame ||= requestAnimationFrame(() => {
        frame = 0;
        setVersion((before) => before + 1);
      });
    };
    const notice = (text: string): void => setNotices((before) => [...before.filter((each) => each !== text).slice(-4), text]);
    const stop = keepStream<Message>(() => `/api/logs?${query}&follow=1`, {
      begin,
      message: (message) => {
        if (message.type === "source") names.current.set(message.id, message.name);
        else if (message.type === "warning") notice(message.message);
        else {
          for (const [task, at, isError, text] of message.lines) {
            lines.current.push({ number: number++, task, at, isError: !!isError, text: at ? text : "lines before this were lost" });
          }
          if (lines.current.length > KEPT) lines.current.splice(0, lines.current.length - KEPT);
          draw();
        }
      },
      problem: (text) => text && notice(text),
    });
    return () => {
      cancelAnimationFrame(frame);
      stop();
    };
  }, [query, follow]);

  const found = useMemo(
    () => (lines.current.filter((each) => fits([each.text], filter))),
    [version, filter],
  );
  useEffect(() => {
    if (follow) end.current?.scrollTo({ top: end.current.scrollHeight });
  }, [version, follow]);

  return (
    <section aria-label="Logs">
      <form class="filters" role="search" onSubmit={(event) => event.preventDefault()}>
        <input type="search" aria-label="Search in the log" placeholder="Search" value={filter}
          onInput={(event) => setFilter(event.currentTarget.value)} />
        <button type="button" aria-pressed={!follow} onClick={() => setFollow(!follow)}>{follow ? "Pause" : "Resume"}</button>
        <a href={`/api/logs/file?${query}`} download="shoal.log">Download</a>
        <span class="quiet">{count(found.length, "line")}{found.length > SHOWN ? `, the newest ${SHOWN} are shown` : ""}</span>
      </form>
      {notices.map((each) => <p key={each} role="status" class="quiet"><Text of={each} /></p>)}
      <div class="log" ref={end} tabIndex={0} role="log" aria-label="Lines of the log" aria-live="off">
        {found.slice(-SHOWN).map((each) => (
          <div key={each.number} class={each.isError ? "line error" : "line"}>
            <time>{each.at ? timeText(each.at) : ""}</time> <b><Text of={names.current.get(each.task) ?? each.task} /></b>{" "}
            <bdi>{visibleLine(each.text)}</bdi>
          </div>
        ))}
      </div>
      <CommandLine line={line} />
    </section>
  );
}
