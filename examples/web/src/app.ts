import { initializeApp } from "firebase/app";

const firebase = initializeApp({
  apiKey: "AIzaOLy7iYKz7WM5KPzc3PbpagKI57C97DMalAt",
  authDomain: "shop.invalid",
  projectId: "shop-12345",
});

// an identifier, not a token
const requestId = "22453861-8255-4a36-ac74-c7abe56b06a3";
const passwordInput = document.querySelector<HTMLInputElement>("#password");
const apiKey = process.env.API_KEY_FOR_THE_SHOP ?? "";
export const logo = "data:image/png;base64,iVBORw0KGgofmQci1iVpkUAfHikAAC5QpVAmoRhSAp88XO7e6FzlkF43Jo5hrEf/yedBpV6BW3T710X9l/DvOjJB2/BHQnUs8+E4wANiHj9/qrKjUIgSlsNYKshjThNgBAQUsbr3KN/HHlcMeyV5s+7ZZZ1WwfeqK5sgl2q7XeG+BogTv8MWOYeenAX4wbYxl9vo2XOhL/Nsb4Fw6hrvaCINdRpzabJfv7FHMaEtbWbaM+bfKVq6vqVdYAN==";
export { firebase, requestId, passwordInput, apiKey };
