/** What this person wants of this screen: kept in the browser, known before anybody has logged in. */
import { createContext, type ReactNode, useContext, useEffect, useState } from "react";
import { speak } from "../api/client";
import { InLanguage, type Language } from "../i18n";

export interface Preferences {
  language: Language;
  isLarge: boolean;
  hasSound: boolean;
  camera: string | null;
}

const KEY = "preferences";
export const FIRST: Preferences = { language: "ja", isLarge: false, hasSound: true, camera: null };

export function readPreferences(stored: string | null, languages: readonly string[]): Preferences {
  const isJapanese = languages.length === 0 || languages.some((one) => one.startsWith("ja"));
  const first: Preferences = { ...FIRST, language: isJapanese ? "ja" : "en" };
  try {
    const known = stored === null ? {} : (JSON.parse(stored) as Partial<Preferences>);
    const language = known.language === "en" || known.language === "ja" ? known.language : first.language;
    return { ...first, ...known, language };
  } catch {
    return first;
  }
}

type Change = (change: Partial<Preferences>) => void;
const Context = createContext<[Preferences, Change] | null>(null);

export function WithPreferences({ children }: { children: ReactNode }) {
  const [preferences, setPreferences] = useState(() =>
    readPreferences(localStorage.getItem(KEY), navigator.languages),
  );
  speak(preferences.language);
  useEffect(() => {
    localStorage.setItem(KEY, JSON.stringify(preferences));
    document.documentElement.lang = preferences.language;
    document.documentElement.style.fontSize = preferences.isLarge ? "125%" : "";
  }, [preferences]);
  const change: Change = (some) => setPreferences((before) => ({ ...before, ...some }));
  return (
    <Context value={[preferences, change]}>
      <InLanguage language={preferences.language}>{children}</InLanguage>
    </Context>
  );
}

export function usePreferences(): [Preferences, Change] {
  const value = useContext(Context);
  if (value === null) throw new Error("there is no WithPreferences above");
  return value;
}
