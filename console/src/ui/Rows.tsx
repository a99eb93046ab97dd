/** A list of any length: only the rows that are looked at are drawn, and the next page is asked for in time. */
import Box from "@mui/material/Box";
import { useVirtualizer } from "@tanstack/react-virtual";
import { type ReactNode, useEffect, useRef } from "react";

const ROW_PX = 56;
const AHEAD = 20; // rows below the last one shown at which the next page is asked for

export function Rows<T>(props: {
  rows: readonly T[];
  label: string;
  /** For tests and measurements. */
  name: string;
  onEnd: () => void;
  children: (row: T) => ReactNode;
}) {
  const { rows, onEnd } = props;
  const frame = useRef<HTMLDivElement>(null);
  // eslint-disable-next-line react-hooks/incompatible-library -- it returns new functions each time, as meant
  const drawn = useVirtualizer({
    count: rows.length,
    getScrollElement: () => frame.current,
    estimateSize: () => ROW_PX,
    overscan: 10,
  });
  const shown = drawn.getVirtualItems();
  const last = shown.at(-1)?.index ?? 0;
  const isNearEnd = rows.length > 0 && last >= rows.length - AHEAD;
  useEffect(() => {
    if (isNearEnd) onEnd();
  }, [isNearEnd, onEnd]);
  return (
    <Box
      ref={frame}
      role={rows.length > 0 ? "list" : undefined}
      aria-label={rows.length > 0 ? props.label : undefined}
      tabIndex={rows.length > 0 ? 0 : undefined}
      sx={{ maxHeight: "70vh", overflowY: "auto" }}
      data-testid={props.name}
    >
      <div style={{ height: drawn.getTotalSize(), position: "relative" }}>
        {shown.map(({ key, index, start }) => {
          const row = rows[index];
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
