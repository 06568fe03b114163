// The terminal writes <style> elements and style attributes, which the Content-Security-Policy refuses. While one is open, an
// element of style that is created hands its rules to a constructed sheet instead, and an attribute of style becomes properties
// of style. The policy has nothing against either. The terminal's option of a document of its own covers some elements alone.

let users = 0;

/** Adopt styles until the returned function is called. */
export function adoptStyles(): () => void {
  if (!users++) document.createElement = create as typeof document.createElement;
  return () => {
    if (!--users) delete (document as Partial<Document>).createElement; // the prototype's is in force again
  };
}

function create(name: string, options?: ElementCreationOptions): HTMLElement {
  if (name.toLowerCase() === "style") return adoptedStyle();
  const element = Document.prototype.createElement.call(document, name, options);
  element.setAttribute = setAttribute;
  return element;
}

function setAttribute(this: HTMLElement, name: string, value: string): void {
  if (name === "style") this.style.cssText = value;
  else Element.prototype.setAttribute.call(this, name, value);
}

function adoptedStyle(): HTMLElement {
  const sheet = new CSSStyleSheet(), element = Document.prototype.createElement.call(document, "span");
  element.hidden = true;
  document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
  let rules = "";
  Object.defineProperty(element, "textContent", {
    get: () => rules,
    set: (text: string) => sheet.replaceSync((rules = text)),
  });
  const remove = element.remove.bind(element);
  element.remove = () => {
    document.adoptedStyleSheets = document.adoptedStyleSheets.filter((each) => each !== sheet);
    remove();
  };
  return element;
}
