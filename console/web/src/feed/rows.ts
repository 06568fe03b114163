// The cluster's objects as the server sends them (console/feed/rows.py).

export type State =
  | "new" | "pending" | "assigned" | "accepted" | "preparing" | "ready" | "starting" | "running"
  | "complete" | "shutdown" | "failed" | "rejected" | "remove" | "orphaned";

export type NodeState = "unknown" | "ready" | "down" | "restarting";

export interface Task {
  id: string;
  service: string;
  slot: number;
  node: string;
  state: State;
  desired: State;
  health: "none" | "starting" | "healthy" | "unhealthy";
  message: string;
  since: number;
  exit: number | null;
  revision: number;
  /** Thousandths of a CPU. */
  cpus: number;
  memory: number;
  flags: number;
}

export interface Node {
  id: string;
  name: string;
  state: NodeState;
  availability: "active" | "pause" | "drain";
  since: number;
  address: string;
  cpus: number;
  memory: number;
  labels: Record<string, string>;
  version: string;
  platform: string;
  manager: boolean;
  /** When its certificate expires, milliseconds; 0: unknown. */
  certificate: number;
  problems: string[];
}

export interface Port {
  published: number;
  target: number;
  protocol: string;
  mode: string;
}

export interface Service {
  id: string;
  name: string;
  stack: string;
  mode: "replicated" | "global" | "replicated-job" | "global-job";
  replicas: number | null;
  autoscale: [number, number] | null;
  image: string;
  labels: Record<string, string>;
  revision: number;
  taskRevision: number;
  updated: number;
  update: { state: string; message: string } | null;
  paused: boolean;
  ports: Port[];
  schedule: string;
  problems: string[];
}

export interface Container {
  id: string;
  name: string;
  desired: string;
}

export type TaskRow = readonly [
  string, string, number, string, State, State, Task["health"], string, number, number | null, number, number, number, number,
];

/** A task of its row; written out, so that browsers give all of them one shape. */
export function taskOf(row: TaskRow): Task {
  const [id, service, slot, node, state, desired, health, message, since, exit, revision, cpus, memory, flags] = row;
  return { id, service, slot, node, state, desired, health, message, since, exit, revision, cpus, memory, flags };
}

const TERMINAL = new Set<State>(["complete", "shutdown", "failed", "rejected", "remove", "orphaned"]);

/** It holds its node's resources: it has not ended yet. */
export const isLive = (task: Task): boolean => !TERMINAL.has(task.state);

/** The planner stops it. */
export const isStopping = (task: Task): boolean =>
  isLive(task) && (task.desired === "shutdown" || task.desired === "remove");

export type Look = "running" | "warning" | "starting" | "waiting" | "stopping" | "done" | "failed" | "ended";
export const LOOKS: readonly Look[] = [
  "running", "warning", "starting", "waiting", "stopping", "done", "failed", "ended",
];

/** Of Docker's words for the state of a container, and of those for managers. */
export const LOOK_OF: Record<string, Look> = {
  running: "running", paused: "warning", restarting: "warning", created: "waiting", exited: "ended", dead: "failed",
  removing: "stopping", leader: "running", ready: "running", down: "failed",
};

/** How the state of a node is drawn, apart from its problems. */
export const lookOfNode = ({ state }: Pick<Node, "state">): Look => LOOK_OF[state] ?? "failed";

const PAUSED = 1, NOT_LISTENING = 2;

/** How a task is drawn. */
export function lookOf(task: Task): Look {
  if (isStopping(task)) return "stopping";
  switch (task.state) {
    case "running":
      return task.health === "unhealthy" || task.flags & (PAUSED | NOT_LISTENING) ? "warning" : "running";
    case "new":
    case "pending":
      return "waiting";
    case "complete":
      return "done";
    case "failed":
    case "rejected":
    case "orphaned":
      return "failed";
    case "shutdown":
    case "remove":
      return "ended";
    default:
      return "starting";
  }
}

/** A task's state in words, with what users should know besides. */
export function stateText(task: Task): string {
  if (task.flags & PAUSED) return "paused";
  if (task.state === "running" && task.health === "unhealthy") return "running, unhealthy";
  if (task.state === "running" && task.flags & NOT_LISTENING) return "running, not listening yet";
  return isStopping(task) ? `${task.state}, stopping` : task.state;
}
