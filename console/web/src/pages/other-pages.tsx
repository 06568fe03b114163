// All pages but the first, which does not wait for their code.

import { Text } from "../parts/basics";
import { Later } from "../parts/later";
import { Link } from "../router";
import { shellWord } from "../text";
import { ContainerPage } from "./container";
import { CreateService } from "./create-service";
import { Events } from "./events";
import { FilePage } from "./file";
import { ImagePage } from "./image";
import { Health } from "./health";
import { Jobs } from "./jobs";
import { Logs } from "./logs";
import { KINDS, Objects } from "./objects";
import { NetworkPage } from "./network";
import { NodePage, Nodes } from "./nodes";
import { Run } from "./run";
import { Service } from "./service";
import { Services } from "./services";
import { Deploy, StackPage, Stacks } from "./stacks";
import { TaskPage } from "./task";
import { VolumePage } from "./volume";

export default function OtherPage({ path }: { path: string[] }) {
  const [page = "", name] = path;
  if (page === "services") return name ? <Service name={name} /> : <Services />;
  if (page === "nodes") return name ? <NodePage name={name} /> : <Nodes />;
  if (page === "stacks") return name ? <StackPage name={name} /> : <Stacks />;
  if (page === "deploy") return <Deploy key={name ?? ""} stack={name ?? ""} />;
  if (page === "logs" && name) {
    return (
      <>
        <h1>Logs of <Text of={name} /></h1>
        <Logs query={`stack=${encodeURIComponent(name)}`} line={`shoal stack logs --follow ${shellWord(name)}`} />
      </>
    );
  }
  if (page === "terminal" && name) {
    return <Later key={name} load={() => import("./terminal")} props={{ id: name }} />;
  }
  if (page === "tasks" && name) return <TaskPage key={name} id={name} />;
  if (page === "events") return <Events />;
  if (page === "health") return <Health />;
  if (page === "jobs") return <Jobs />;
  if (page === "run") return <Run />;
  if (page === "create-service") return <CreateService />;
  if (page === "containers" && name) return <ContainerPage key={name} name={name} />;
  if (page === "images" && name) return <ImagePage key={name} name={name} />;
  if (page === "networks" && name) return <NetworkPage key={name} name={name} />;
  if (page === "volumes" && name) return <VolumePage key={name} name={name} />;
  if ((page === "secrets" || page === "configs") && name) return <FilePage key={`${page}/${name}`} kind={page} name={name} />;
  if (page in KINDS) return <Objects key={page} kind={page} />;
  return <><h1>There is no such page</h1><p><Link to="/">Overview</Link></p></>;
}
