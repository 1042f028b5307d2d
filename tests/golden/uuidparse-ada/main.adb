--  Tells variant, type and time of UUIDs, as a table, raw or as JSON.

with Ada.Command_Line;
with Bytes;
with Options;
with Printing;
with Uuids;

procedure Main is
   Settings : Options.Settings;
   Rows     : Uuids.Row_List;
begin
   Options.Read (Settings);
   if Settings.Operands.Is_Empty then
      Uuids.Split (Bytes.Read_All, Settings.Operands);
   end if;
   for Word of Settings.Operands loop
      Rows.Append (Uuids.Describe (Word));
   end loop;
   if Settings.Json then
      Printing.Json (Rows, Settings.Columns);
   else
      Printing.Lines (Rows, Settings.Columns, Headings => not Settings.No_Headings, Raw => Settings.Raw);
   end if;
   Bytes.Flush;
exception
   when Options.Told =>
      Bytes.Flush;
   when Options.Failed =>
      Ada.Command_Line.Set_Exit_Status (1);
end Main;
