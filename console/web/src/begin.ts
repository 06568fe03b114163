// The first script, small: what the page needs of the server is asked for while the code that draws it is loaded.

import { beginSession } from "./session";
import { FirstStream } from "./feed/first-stream";
import { applyTheme, savedTheme } from "./theme";
import "./styles.css";
import "./pages.css";

const found = beginSession().then((begun) => ({ ...begun, stream: begun.session ? new FirstStream("/api/feed") : null }));
applyTheme(savedTheme());
void import("./main").then(async ({ start }) => start(await found));
