/**
 * Texts in Japanese and English.
 *
 * Rules of this file:
 * - A key that one catalogue lacks does not compile (ja must have every key of en) and fails a test.
 * - Texts may hold {names}; nothing is ever built by joining pieces of sentences.
 */
import { createContext, type ReactNode, useContext, useMemo } from "react";
import en from "./en.json";
import ja from "./ja.json";

export type Key = keyof typeof en;
export type Language = "ja" | "en";
export const CATALOGUES: Record<Language, Record<Key, string>> = { ja, en };
export const LANGUAGES: Record<Language, string> = { ja: "日本語", en: "English" };

export type Values = Record<string, string | number>;
export type Translate = (key: Key, values?: Values) => string;

export function fill(text: string, values: Values): string {
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole));
}

export function translator(language: Language): Translate {
  return (key, values = {}) => fill(CATALOGUES[language][key], values);
}

export const isKey = (text: string): text is Key => text in en;

/** Names of products, items and checks may be written "日本語 / English": the half that is wanted. */
export function half(name: string, language: Language): string {
  const [first, second, ...more] = name.split(" / ");
  return second === undefined || more.length ? name : language === "ja" ? (first ?? "") : second;
}

export interface Words {
  language: Language;
  t: Translate;
  /** A name out of the masters in this language, if it has both. */
  name: (name: string) => string;
  time: (instant: string) => string;
  number: (value: number, digits?: number) => string;
}

const Context = createContext<Words | null>(null);

export function wordsOf(language: Language): Words {
  const locale = language === "ja" ? "ja-JP" : "en-GB";
  const times = new Intl.DateTimeFormat(locale, { dateStyle: "short", timeStyle: "short" });
  return {
    language,
    t: translator(language),
    name: (name) => half(name, language),
    time: (instant) => times.format(new Date(instant)),
    number: (value, digits = 0) =>
      value.toLocaleString(locale, {
        minimumFractionDigits: digits,
        maximumFractionDigits: digits,
      }),
  };
}

export function InLanguage(props: { language: Language; children: ReactNode }) {
  const words = useMemo(() => wordsOf(props.language), [props.language]);
  return <Context value={words}>{props.children}</Context>;
}

export function useWords(): Words {
  const words = useContext(Context);
  if (words === null) throw new Error("there is no InLanguage above");
  return words;
}
