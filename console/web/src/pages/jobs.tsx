// Services that run to their end, at once or by a schedule, with their newest runs.

import { part } from "../api";
import { useStore } from "../feed/use-store";
import { isLive, type Service, type Task } from "../feed/rows";
import type { Store } from "../feed/store";
import { Age } from "../parts/age";
import { TaskState, Text } from "../parts/basics";
import { VirtualTable, type Column } from "../parts/virtual-list";
import { Link } from "../router";
import { byName } from "../text";

export function Jobs() {
  const store = useStore("services", "tasks");
  const rows = [...store.services.values()].filter((each) => each.mode.endsWith("job")).sort(byName);
  return (
    <>
      <h1>Jobs</h1>
      <VirtualTable label="Jobs" rows={rows} columns={columns(store)} keyOf={(each) => each.id} empty="There are no jobs yet." />
    </>
  );
}

const runs = (store: Store, job: Service): Task[] => [...store.ofService(job.id).tasks.values()].sort((a, b) => b.since - a.since);
const countOf = (store: Store, job: Service, state: string): number => runs(store, job).filter((each) => each.state === state).length;

const columns = (store: Store): Column<Service>[] => [
  { title: "Name", width: "2fr", cell: (each) => <Link to={`/services/${part(each.name)}?tab=runs`}><Text of={each.name} /></Link> },
  { title: "Schedule", width: "10rem", cell: (each) => <Text of={each.schedule || "once"} /> },
  { title: "Running", width: "6rem", cell: (each) => runs(store, each).filter(isLive).length },
  { title: "Completed", width: "7rem", cell: (each) => countOf(store, each, "complete") },
  { title: "Failed", width: "6rem", cell: (each) => countOf(store, each, "failed") },
  { title: "Newest run", width: "12rem", cell: (each) => <Newest run={runs(store, each)[0]} /> },
  { title: "Since", width: "6rem", cell: (each) => <Age since={runs(store, each)[0]?.since ?? 0} /> },
  { title: "Image", width: "3fr", cell: (each) => <Text of={each.image} /> },
];

const Newest = ({ run }: { run: Task | undefined }) => (run ? <Link to={`/tasks/${part(run.id)}`}><TaskState task={run} /></Link> : <span class="quiet">none yet</span>);
