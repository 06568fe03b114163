// The terminal writes <style> elements, which the Content-Security-Policy refuses. It takes another document to make its
// elements with: in this one such an element hands its rules to a constructed sheet, which the policy has nothing against.

/** The page's document, but for elements of style. */
export function documentWithAdoptedStyles(): Document {
  const create = (name: string, options?: ElementCreationOptions): HTMLElement =>
    name.toLowerCase() === "style" ? adoptedStyle() : document.createElement(name, options);
  return new Proxy(document, {
    get(target, property) {
      if (property === "createElement") return create;
      const value: unknown = Reflect.get(target, property, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

function adoptedStyle(): HTMLElement {
  const sheet = new CSSStyleSheet(), element = document.createElement("span");
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
