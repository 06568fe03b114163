// Calls to the console's server.

export class ApiError extends Error {
  constructor(readonly status: number, message: string, readonly faults: { path: string; message: string }[] = []) {
    super(message);
  }
}

async function call<T>(method: string, path: string, document?: unknown): Promise<T> {
  const init: RequestInit = { method };
  if (document !== undefined) {
    init.headers = { "Content-Type": "application/json" };
    init.body = JSON.stringify(document);
  }
  let response: Response;
  try {
    response = await fetch(path, init);
  } catch {
    throw new ApiError(0, "the console does not respond");
  }
  const body: unknown = await response.json().catch(() => ({}));
  if (response.ok) return body as T;
  const { error, faults } = body as { error?: string; faults?: { path: string; message: string }[] };
  throw new ApiError(response.status, error ?? `error ${response.status}`, faults);
}

export const get = <T>(path: string): Promise<T> => call<T>("GET", path);
export const post = <T>(path: string, document: unknown): Promise<T> => call<T>("POST", path, document);
export const signOut = (): Promise<unknown> => call("DELETE", "/api/session");

export const part = encodeURIComponent;
export const textOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** Send a file as it is, and get the answer; `progress` is called with the bytes that have gone. A cancelled one is an error too. */
export function upload(path: string, file: Blob, progress: (bytes: number) => void): { done: Promise<unknown>; cancel: () => void } {
  const request = new XMLHttpRequest(); // fetch does not say how far it is
  const done = new Promise<unknown>((resolve, reject) => {
    request.upload.onprogress = (event) => progress(event.loaded);
    request.onabort = () => reject(new ApiError(0, "cancelled"));
    request.onerror = () => reject(new ApiError(0, "the connection has ended"));
    request.onload = () => (request.status < 300 ? resolve(JSON.parse(request.responseText)) : reject(new ApiError(request.status, errorIn(request.responseText) || `error ${request.status}`)));
    request.open("POST", path);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.send(file);
  });
  return { done, cancel: () => request.abort() };
}

function errorIn(text: string): string {
  try {
    return (JSON.parse(text) as { error?: string }).error ?? "";
  } catch {
    return "";
  }
}
