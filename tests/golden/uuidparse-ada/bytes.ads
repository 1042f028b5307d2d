--  Standard input and output as they are, byte for byte.

package Bytes is

   function Read_All return String;

   procedure Put (Text : String);
   --  To standard output, kept until Flush.

   procedure Flush;

   procedure Put_Error (Text : String);
   --  To standard error, at once.

   function Hex (Byte : Character; Digit_Count : Positive) return String;
   --  In lower case, with leading zeros.

end Bytes;
