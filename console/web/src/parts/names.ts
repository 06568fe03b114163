import type { Task } from "../feed/rows";
import type { Store } from "../feed/store";

/** "web.1"; of a container of one's own its name. */
export function taskName(store: Store, task: Task): string {
  const service = store.services.get(task.service);
  if (service) return `${service.name}.${task.slot || store.nodes.get(task.node)?.name || task.node}`;
  return store.containers.get(task.service)?.name ?? task.service;
}

export const nodeName = (store: Store, id: string): string => store.nodes.get(id)?.name ?? id;
