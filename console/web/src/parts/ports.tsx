// Published ports, as links where a browser can follow them.

import type { Node, Port } from "../feed/rows";
import type { Store } from "../feed/store";

/** Of one node alone, at this address of it where it is not all. */
export interface HostPort extends Port {
  host: string;
}

const ANY = new Set(["", "0.0.0.0", "::"]);

/** Ports of every node lead to a service or a container: those of the node that this browser most likely reaches.
 *
 * @param own of a task: the node that publishes them.
 */
export function Ports({ store, ports, own }: { store: Store; ports: (Port | HostPort)[]; own?: Node | undefined }) {
  const node = own ?? [...store.nodes.values()].find((each) => each.state === "ready" && each.address);
  return (
    <>
      {ports.map((each) => {
        const text = `${each.published || "?"} → ${each.target}/${each.protocol}`;
        const reachable = node && each.published && each.protocol === "tcp" && (own || each.mode === "ingress");
        const at = "host" in each && !ANY.has(each.host) ? each.host : node?.address ?? "";
        const host = at.includes(":") ? `[${at}]` : at;
        const scheme = each.target === 443 || each.target === 8443 ? "https" : "http";
        return reachable
          ? <a key={text} href={`${scheme}://${host}:${each.published}/`} target="_blank" rel="noopener noreferrer">{text}</a>
          : <span key={text}>{text}</span>;
      })}
    </>
  );
}
