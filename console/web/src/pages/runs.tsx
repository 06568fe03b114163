// The runs of a job, the newest first, and when its schedule is due again.

import { useEffect, useState } from "preact/hooks";
import { get, part, textOf } from "../api";
import { Dot, Text } from "../parts/basics";
import { VirtualTable, type Column } from "../parts/virtual-list";
import type { Look, Service } from "../feed/rows";
import { ageText } from "../text";

const AGAIN_MS = 3000;

interface Run {
  number?: string;
  revision?: string;
  state?: string;
  scheduled_at_ms?: string;
  started_at_ms?: string;
  finished_at_ms?: string;
  completed?: number;
  desired?: number;
}

interface Status {
  runs?: Run[];
  schedule?: { next_run_at_ms?: string; message?: string };
}

const LOOKS: Record<string, Look> = { RUNNING: "running", SUCCEEDED: "done", FAILED: "failed", REPLACED: "ended" };
const moment = (ms: string | undefined): string => (Number(ms ?? 0) ? new Date(Number(ms)).toLocaleString("en-GB") : "");

export function Runs({ job }: { job: Service }) {
  const [status, setStatus] = useState<Status>({}), [problem, setProblem] = useState("");
  useEffect(() => {
    const load = (): void =>
      void get<{ status?: Status }>(`/api/services/${part(job.id)}`).then((found) => (setStatus(found.status ?? {}), setProblem("")), (error: unknown) => setProblem(textOf(error)));
    load();
    const timer = setInterval(() => document.hidden || load(), AGAIN_MS);
    return () => clearInterval(timer);
  }, [job.id]);
  const { next_run_at_ms: next, message } = status.schedule ?? {};
  return (
    <section aria-label="Runs">
      {problem && <p role="alert" class="problem"><Text of={problem} /></p>}
      {job.schedule && <p>Schedule <code><Text of={job.schedule} /></code>{Number(next ?? 0) > 0 && <>, next at {moment(next)}</>}</p>}
      {message && <p class="problem">No run was started: <Text of={message} /></p>}
      <VirtualTable label="Runs" rows={[...(status.runs ?? [])].reverse()} columns={COLUMNS} keyOf={(each) => each.number ?? ""} empty="It has not run yet." />
    </section>
  );
}

const COLUMNS: Column<Run>[] = [
  { title: "Run", width: "4rem", cell: (each) => each.number ?? "" },
  { title: "State", width: "9rem", cell: (each) => <span class="state"><Dot look={LOOKS[each.state ?? ""] ?? "waiting"} />{(each.state ?? "waiting").toLowerCase()}</span> },
  { title: "Completed", width: "7rem", cell: (each) => `${each.completed ?? 0} of ${each.desired ?? 0}` },
  { title: "Scheduled", width: "2fr", cell: (each) => moment(each.scheduled_at_ms) },
  { title: "Started", width: "2fr", cell: (each) => moment(each.started_at_ms) },
  {
    title: "Took", width: "6rem",
    cell: (each) => (each.finished_at_ms ? ageText(Number(each.started_at_ms ?? 0), Number(each.finished_at_ms)) : each.started_at_ms ? `${ageText(Number(each.started_at_ms))} so far` : ""),
  },
  { title: "Revision", width: "5rem", cell: (each) => each.revision ?? "" },
];
