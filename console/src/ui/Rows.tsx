/** A list of any length: only the rows that are looked at are drawn, and the next page is asked for in time. */
import Box from "@mui/material/Box";
import { useVirtualizer } from "@tanstack/react-virtual";
import { type ReactNode, type RefObject, useEffect, useLayoutEffect, useRef } from "react";
import { type Paged, rowAt, startsOf } from "./pages";

const ROW_PX = 56;
const NEAR = 200; // rows that may come or go at once without losing the place
const AHEAD = 20; // rows below the last one shown at which the next page is asked for

export function Rows<T>(props: {
  pages: Paged<T>;
  label: string;
  /** For tests and measurements. */
  name: string;
  onEnd: () => void;
  children: (row: T) => ReactNode;
}) {
  const { pages, onEnd } = props;
  const starts = startsOf(pages);
  const count = starts.at(-1) ?? 0;
  const frame = useAnchored((index) => rowAt(pages, starts, index));
  // eslint-disable-next-line react-hooks/incompatible-library -- it returns new functions each time, as meant
  const drawn = useVirtualizer({
    count,
    getScrollElement: () => frame.current,
    estimateSize: () => ROW_PX,
    overscan: 10,
  });
  const shown = drawn.getVirtualItems();
  const last = shown.at(-1)?.index ?? 0;
  const isNearEnd = count > 0 && last >= count - AHEAD;
  useEffect(() => {
    if (isNearEnd) onEnd();
  }, [isNearEnd, onEnd]);
  return (
    <Box
      ref={frame}
      role={count > 0 ? "list" : undefined}
      aria-label={count > 0 ? props.label : undefined}
      tabIndex={count > 0 ? 0 : undefined}
      sx={{ maxHeight: "70vh", overflowY: "auto" }}
      data-testid={props.name}
    >
      <div style={{ height: drawn.getTotalSize(), position: "relative" }}>
        {shown.map(({ key, index, start }) => {
          const row = rowAt(pages, starts, index);
          return row === undefined ? null : (
            <Box
              key={key}
              role="listitem"
              sx={{
                position: "absolute",
                left: 0,
                right: 0,
                height: ROW_PX,
                borderBottom: 1,
                borderColor: "divider",
              }}
              style={{ transform: `translateY(${start}px)` }}
            >
              {props.children(row)}
            </Box>
          );
        })}
      </div>
    </Box>
  );
}

/** The frame: what is looked at stays where it is when rows come or go above it; at the top the first row is. */
function useAnchored(at: (index: number) => unknown): RefObject<HTMLDivElement | null> {
  const frame = useRef<HTMLDivElement>(null);
  const top = useRef<{ row: unknown; index: number }>({ row: undefined, index: 0 });
  useLayoutEffect(() => {
    const box = frame.current;
    if (box === null) return;
    const { row, index } = top.current;
    if (row !== undefined && index > 0 && at(index) !== row) {
      const moved = nearest(NEAR, (by) => at(index + by) === row);
      if (moved !== null) box.scrollBy(0, moved * ROW_PX);
    }
    const now = Math.floor(box.scrollTop / ROW_PX);
    top.current = { row: at(now), index: now };
  });
  return frame;
}

/** The number nearest to 0 that fits, up to `most` away. */
function nearest(most: number, fits: (by: number) => boolean): number | null {
  for (let by = 1; by <= most; by += 1) {
    if (fits(by)) return by;
    if (fits(-by)) return -by;
  }
  return null;
}
