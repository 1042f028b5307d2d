with Ada.Strings.Unbounded; use Ada.Strings.Unbounded;
with GNAT.OS_Lib;           use GNAT.OS_Lib;
with System;

package body Bytes is

   Kept : Unbounded_String;

   procedure Write_All (To : File_Descriptor; Text : String) is
      From  : Positive := Text'First;
      Count : Integer;
   begin
      while From <= Text'Last loop
         Count := Write (To, Text (From)'Address, Text'Last - From + 1);
         exit when Count <= 0;
         From := From + Count;
      end loop;
   end Write_All;

   function Read_All return String is
      Chunk : String (1 .. 65_536);
      All_Of_It : Unbounded_String;
      Count : Integer;
   begin
      loop
         Count := Read (Standin, Chunk (1)'Address, Chunk'Length);
         exit when Count <= 0;
         Append (All_Of_It, Chunk (1 .. Count));
      end loop;
      return To_String (All_Of_It);
   end Read_All;

   procedure Put (Text : String) is
   begin
      Append (Kept, Text);
   end Put;

   procedure Flush is
   begin
      Write_All (Standout, To_String (Kept));
      Kept := Null_Unbounded_String;
   end Flush;

   procedure Put_Error (Text : String) is
   begin
      Write_All (Standerr, Text);
   end Put_Error;

   function Hex (Byte : Character; Digit_Count : Positive) return String is
      Figures : constant String := "0123456789abcdef";
      Rest    : Natural := Character'Pos (Byte);
      Result  : String (1 .. Digit_Count);
   begin
      for At_Digit in reverse Result'Range loop
         Result (At_Digit) := Figures (Rest mod 16 + 1);
         Rest := Rest / 16;
      end loop;
      return Result;
   end Hex;

end Bytes;
