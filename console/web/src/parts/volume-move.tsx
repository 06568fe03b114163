// The move of a volume's data to another node, or of that of one of its slots.

import { useState } from "preact/hooks";
import { part, post } from "../api";
import { useStore } from "../feed/use-store";
import { byName, shellWord, visible } from "../text";
import { Action, CommandLine, Dialog } from "./basics";

/** Of the data that may move: 0, or the number of a slot, and the id of the node that has it. */
export interface Source {
  slot: number;
  node: string;
}

export function MoveDialog({ id, name, sources, done, close }: { id: string; name: string; sources: readonly Source[]; done: () => Promise<void>; close: () => void }) {
  const store = useStore("nodes");
  const [slot, setSlot] = useState(sources[0]?.slot ?? 0), [chosen, setChosen] = useState(""), [replace, setReplace] = useState(false);
  const from = sources.find((each) => each.slot === slot)?.node;
  const nodes = [...store.nodes.values()].filter((each) => each.id !== from && each.state === "ready").sort(byName);
  const node = nodes.find((each) => each.name === chosen)?.name ?? nodes[0]?.name ?? "";
  const move = async (): Promise<void> => {
    await post(`/api/volumes/${part(id)}/move`, { node, slot, replace });
    await done();
    close();
  };
  const line = ["shoal volume move", slot > 0 && `--slot ${slot}`, `--to ${shellWord(node || "NODE")}`, replace && "--replace", shellWord(name)].filter(Boolean).join(" ");
  return (
    <Dialog title="Move the data" close={close}>
      <p class="quiet">Tasks that use it are stopped, its data is copied and verified, and they start on the other node. Until then the data stays where it is.</p>
      {sources.some((each) => each.slot) && (
        <label>Slot <select value={slot} onChange={(event) => setSlot(Number(event.currentTarget.value))}>{sources.map((each) => <option key={each.slot}>{each.slot}</option>)}</select></label>
      )}
      <label>To node <select value={node} onChange={(event) => setChosen(event.currentTarget.value)}>{nodes.map((each) => <option key={each.id} value={each.name}>{visible(each.name)}</option>)}</select></label>
      <label class="switch"><input type="checkbox" checked={replace} onChange={(event) => setReplace(event.currentTarget.checked)} /> Replace data of the volume that is there already</label>
      <CommandLine line={line} />
      <div class="buttons">
        <Action class="main" do={move} disabled={!node}>Move</Action>
        <button type="button" onClick={close}>Cancel</button>
      </div>
    </Dialog>
  );
}
