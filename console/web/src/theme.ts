// Light, dark, or as the system.

const KEY = "theme";

export const savedTheme = (): string => localStorage.getItem(KEY) ?? "system";

export const saveTheme = (theme: string): void => localStorage.setItem(KEY, theme);

export function applyTheme(theme: string): void {
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
}
