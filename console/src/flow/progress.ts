/** How far a session is: pure, from what the agent says of it. */
import type { Schemas } from "../api/client";

export type SessionBody = Schemas["SessionBody"];
export type ItemBody = Schemas["ItemBody"];

const OPEN: readonly Schemas["SessionStatus"][] = ["PENDING", "IN_PROGRESS", "AI_COMPLETED", "HUMAN_REVIEW"];
export const isOpen = (body: SessionBody): boolean => OPEN.includes(body.session.status);

export const isDecided = (item: ItemBody): boolean => Boolean(item.verdict?.human_result);

/** Whether a person answers a list instead of judging a picture. */
export const isChecklist = (item: ItemBody): boolean => item.item.inspection_type === "FUNCTION";

export const decidedOf = (body: SessionBody): number => body.items.filter(isDecided).length;

/** The item to do next after `itemId`: the following undecided one, else the first undecided one. */
export function nextAfter(body: SessionBody, itemId: string | null): ItemBody | null {
  const start = body.items.findIndex((one) => one.item.id === itemId) + 1;
  const order = [...body.items.slice(start), ...body.items.slice(0, start)];
  return order.find((one) => !isDecided(one) && one.item.id !== itemId) ?? null;
}

export const titleOf = (target: Schemas["Target"]): string =>
  [target.product_code, target.batch_id, target.serial_no].filter(Boolean).join(" · ");
