with Ada.Characters.Handling; use Ada.Characters.Handling;
with Ada.Strings.Unbounded;   use Ada.Strings.Unbounded;
with Bytes;                   use Bytes;

package body Printing is

   NL : constant Character := ASCII.LF;

   --  The width that a column gets when its data are narrower.
   Widths : constant array (Uuids.Column) of Positive := [37, 9, 10, 31];

   procedure Put_Json_String (Text : String) is
   begin
      if Text = "" then
         Put ("null");
         return;
      end if;
      Put ("""");
      for Byte of Text loop
         case Byte is
            when '"' | '\' => Put ("\" & Byte);
            when ASCII.BS => Put ("\b");
            when ASCII.HT => Put ("\t");
            when ASCII.LF => Put ("\n");
            when ASCII.FF => Put ("\f");
            when ASCII.CR => Put ("\r");
            when others => Put (if Byte < ' ' then "\u" & Hex (Byte, 4) else [1 => Byte]);
         end case;
      end loop;
      Put ("""");
   end Put_Json_String;

   procedure Json (Rows : Uuids.Row_List; Columns : Options.Column_List) is
   begin
      Put ("{" & NL & "   ""uuids"": [" & NL);
      for Index in 1 .. Natural (Rows.Length) loop
         Put ((if Index = 1 then "      {" else ",{") & NL);
         for Place in 1 .. Natural (Columns.Length) loop
            Put ("         """ & To_Lower (Name (Columns (Place))) & """: ");
            Put_Json_String (To_String (Rows (Index) (Columns (Place))));
            Put ((if Place < Natural (Columns.Length) then "," else "") & NL);
         end loop;
         Put ("      }");
      end loop;
      Put (NL & "   ]" & NL & "}" & NL);
   end Json;

   function Escaped (Cell : String; Raw : Boolean) return Unbounded_String is
      Result : Unbounded_String;
   begin
      for Index in Cell'Range loop
         declare
            Byte      : constant Character := Cell (Index);
            Backslash : constant Boolean :=
              Byte = '\' and then (Raw or else (Index < Cell'Last and then Cell (Index + 1) = 'x'));
         begin
            if Byte not in ' ' .. '~' or else Backslash or else (Raw and then Byte = ' ') then
               Append (Result, "\x" & Hex (Byte, 2));
            else
               Append (Result, Byte);
            end if;
         end;
      end loop;
      return Result;
   end Escaped;

   procedure Lines (Rows : Uuids.Row_List; Columns : Options.Column_List; Headings, Raw : Boolean) is
      Shown  : Uuids.Row_List := Rows;
      Wide   : array (Uuids.Column) of Natural := [others => 0];
      Titles : Uuids.Row;

      procedure Put_Row (Row : Uuids.Row) is
      begin
         for Place in 1 .. Natural (Columns.Length) loop
            declare
               Cell : constant String := To_String (Row (Columns (Place)));
               Gap  : constant Integer := Wide (Columns (Place)) - Cell'Length;
            begin
               if Place > 1 then
                  Put (" ");
               end if;
               Put (Cell);
               if not Raw and then Place < Natural (Columns.Length) and then Gap > 0 then
                  Put ([1 .. Gap => ' ']);
               end if;
            end;
         end loop;
         Put ([1 => NL]);
      end Put_Row;
   begin
      if Rows.Is_Empty then
         return;
      end if;
      for Row of Shown loop
         for Column in Uuids.Column loop
            Row (Column) := Escaped (To_String (Row (Column)), Raw);
            Wide (Column) := Natural'Max (Wide (Column), Length (Row (Column)));
         end loop;
      end loop;
      for Column in Uuids.Column loop
         declare
            Heading : constant Natural := (if Headings then Name (Column)'Length else 0);
         begin
            Titles (Column) := To_Unbounded_String (Name (Column));
            Wide (Column) :=
              (if Wide (Column) = 0 or else Wide (Column) < Heading
               then Heading
               else Natural'Max (Wide (Column), Widths (Column)));
         end;
      end loop;
      if Headings then
         Put_Row (Titles);
      end if;
      for Row of Shown loop
         Put_Row (Row);
      end loop;
   end Lines;

end Printing;
